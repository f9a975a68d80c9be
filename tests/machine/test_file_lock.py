"""A lock is one holder's, and open once that one is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sparserec_np.machine import file_lock
from sparserec_np.machine.file_lock import FileLock


def test_one_has_it_and_the_file_is_gone_after(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    with pytest.raises(BlockingIOError):
        FileLock(path)
    lock.release()
    lock.release()
    assert not os.path.exists(path)
    FileLock(path).release()


def test_another_process_is_kept_out_until_this_one_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = "import sys\nfrom sparserec_np.machine.file_lock import FileLock\nFileLock(sys.argv[1])"
    lock = FileLock(path)
    tried = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert tried.returncode and "BlockingIOError" in tried.stderr
    lock.release()
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 0
    FileLock(path).release()  # of a process that has ended without a word


def test_only_one_of_many_threads_has_it_at_a_time(tmp_path: Path) -> None:
    path, inside, most = str(tmp_path / "lock"), [], []

    def work() -> None:
        done = 0
        while done < 20:
            try:
                lock = FileLock(path)
            except BlockingIOError:
                continue
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            lock.release()
            done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


def test_where_there_are_no_locks_everybody_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "fcntl", None)
    first, second = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    first.release()
    second.release()
