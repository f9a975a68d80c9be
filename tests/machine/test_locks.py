"""Locks, threads and forks."""

from __future__ import annotations

import os
import threading

import pytest

from sparserec_np.machine.locks import ForkLock


def test_one_thread_at_a_time_holds_a_lock_and_may_hold_it_twice() -> None:
    lock, order = ForkLock(), []
    with lock, lock:
        other = threading.Thread(target=lambda: [lock.__enter__(), order.append("other"), lock.__exit__()])
        other.start()
        order.append("first")
    other.join()
    assert order == ["first", "other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system that does not fork")
def test_a_forked_child_finds_a_lock_open_that_another_thread_holds() -> None:
    lock, held, done = ForkLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        waiting = threading.Timer(20, os._exit, [1])
        waiting.start()
        with lock:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert status == 0
