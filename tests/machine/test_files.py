"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sparserec_np.machine.files import gathering, replacing


def test_a_block_that_raises_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as stream:
        stream.write(b"half of")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]
    with replacing(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as stream:
        stream.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_link_that_leads_to_itself_is_no_place(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links") as caught, replacing(link):
        pass
    assert caught.value.filename == str(link) and link.is_symlink() and os.listdir(tmp_path) == ["link"]


def test_what_a_dead_writer_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path, dead = tmp_path / "file", tmp_path / f".file.{'0' * 16}.unfinished"
    dead.write_bytes(b"half")
    other = tmp_path / f".other.{'0' * 16}.unfinished"
    other.write_bytes(b"half of another")
    with replacing(path) as first:
        living = [name for name in os.listdir(tmp_path) if name != other.name]
        assert len(living) == 1 and living != [dead.name]
        with replacing(path) as second:
            second.write(b"second")
        first.write(b"first")
    assert path.read_bytes() == b"first" and sorted(os.listdir(tmp_path)) == [other.name, "file"]


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    with replacing(os.devnull) as stream:
        stream.write(b"gone")
    assert not os.path.isfile(os.devnull)


def test_places_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)), replacing(tmp_path):
        pass
    missing = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError, match="missing"), replacing(missing):
        pass


@pytest.mark.parametrize("kind", ["file", "device"])
def test_a_full_disk_is_named(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "file") if kind == "file" else os.devnull
    with pytest.raises(OSError, match="No space left") as caught, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does, without a name
    assert caught.value.filename == path and os.listdir(tmp_path) == []


def test_a_read_only_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(OSError, match="Read-only") as caught, replacing(tmp_path / "file"):
        pass
    monkeypatch.undo()
    assert caught.value.filename == str(tmp_path / "file")


def test_many_writers_of_one_file_leave_one_of_theirs_whole_and_none_fails(tmp_path: Path) -> None:
    path, size = tmp_path / "shared", 200_000

    def write(number: int) -> None:
        for _ in range(20):
            with replacing(path) as stream:
                stream.write(bytes([number]) * size)

    def read(_: int) -> set[int]:
        lengths = set()
        for _ in range(200):
            if path.exists():
                content = path.read_bytes()
                lengths |= {len(content), len(set(content)) - 1 + size}
        return lengths

    with ThreadPoolExecutor(6) as pool:
        writers, readers = [pool.submit(write, k) for k in range(4)], [pool.submit(read, k) for k in range(2)]
        assert all(writer.result() is None for writer in writers)
        assert all(reader.result() <= {size} for reader in readers)
    assert os.listdir(tmp_path) == ["shared"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_are_kept_and_new_files_get_the_usual_ones(tmp_path: Path, mode: int) -> None:
    old, new, plain = tmp_path / "old", tmp_path / "new", tmp_path / "plain"
    old.touch()
    old.chmod(mode)
    plain.touch()
    for path in (old, new):
        with replacing(path) as stream:
            stream.write(b"content")
    assert old.stat().st_mode & 0o777 == mode
    assert new.stat().st_mode == plain.stat().st_mode


def test_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    with pytest.raises(RuntimeError), gathering(folder) as place:
        (Path(place) / "one").write_text("1")
        raise RuntimeError
    assert not folder.exists()
    folder.mkdir()
    (folder / "one").write_text("old")
    (folder / "one").chmod(0o600)
    with pytest.raises(OSError, match="parts/gone/two") as error, gathering(folder) as place:
        (Path(place) / "one").write_text("1")
        (Path(place) / "gone" / "two").write_text("2")
    assert error.value.filename == str(folder / "gone" / "two")
    assert os.listdir(folder) == ["one"] and (folder / "one").read_text() == "old"
    with gathering(folder) as place:
        for name in ("one", "two"):
            (Path(place) / name).write_text(name)
        assert (folder / "one").read_text() == "old"
    assert {name: (folder / name).read_text() for name in os.listdir(folder)} == {"one": "one", "two": "two"}
    assert (folder / "one").stat().st_mode & 0o777 == 0o600
