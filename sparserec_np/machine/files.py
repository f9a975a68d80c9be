"""Writing a file that appears whole, in place of an older one, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

from sparserec_np.machine.file_lock import CAN_HOLD, hold, unused

UNFINISHED = ".unfinished"
FOLDERS = ".gathered-"  # how names of folders begin that files are gathered in


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a stream whose bytes are at ``path`` once the block ends well, else nowhere.

    They are written beside their place, in a file whose name nobody else takes, and moved there
    when they are complete and on the disk. The permissions of an older file are kept. A link stays
    a link, and what is no file, a pipe or a terminal, is written to as it is.

    Raises:
        OSError: the place cannot be written to, or is full; it names ``path``.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.path.isfile(path):
        with _naming(path), open(path, "wb") as stream:
            yield stream
        return
    target = os.path.realpath(path)
    if os.path.islink(target):  # one that leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "No such folder", folder)
    sweep(folder, f".{name}.")
    # Chance tells writers apart: process ids do not, in threads and in containers on one volume.
    beside = os.path.join(folder, f".{name}.{secrets.token_hex(8)}{UNFINISHED}")
    try:
        with _naming(path, beside):
            with _held_file(beside) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                if CAN_HOLD:  # in use until it is in its place, so that nobody sweeps it away
                    put_in_place(beside, target)
            if not CAN_HOLD:
                put_in_place(beside, target)
            sync_folder(folder)
    finally:
        with contextlib.suppress(OSError):  # on a read-only file system even where there is none
            os.unlink(beside)


@contextlib.contextmanager
def gathering(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Gives an empty folder whose files are moved into ``folder`` once the block ends well, else none is.

    ``folder`` is made if it is not there, and is not left behind empty. Its older files of the same
    names are replaced, and their permissions kept.

    Raises:
        OSError: the folder cannot be written to; it names a place in ``folder``.
    """
    folder = os.fspath(folder)
    is_new = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    sweep(folder, FOLDERS)
    beside = os.path.join(folder, f"{FOLDERS}{secrets.token_hex(8)}{UNFINISHED}")
    try:
        with _naming(folder, beside), _held_folder(beside):
            try:
                yield beside
            except OSError as error:
                if isinstance(error.filename, str):
                    error.filename = error.filename.replace(beside, folder)
                raise
            for name in sorted(os.listdir(beside)):
                put_in_place(os.path.join(beside, name), os.path.join(folder, name))
            sync_folder(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # it holds something
                os.rmdir(folder)


def sweep(folder: str, beginning: str) -> None:
    """Removes what was being written in a folder by processes that are gone; nothing that is in use.

    Names begin as is said. Where the system does not tell what is in use, as Windows, nothing is
    removed.
    """
    with contextlib.suppress(OSError):  # the folder cannot be read or written to
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith(beginning) and is_unfinished(name):
                with unused(path) as free:
                    if free:
                        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def is_unfinished(name: str) -> bool:
    """Tells whether a name is that of a file or folder that is being written, or was when its process ended."""
    return name.startswith(".") and name.endswith(UNFINISHED)


@contextlib.contextmanager
def _held_file(path: str) -> Iterator[BinaryIO]:
    """Makes a file that is in use; makes it again if somebody swept it away before it was."""
    while True:
        with open(path, "xb") as stream:
            hold(stream.fileno())
            if os.path.exists(path):
                yield stream
                return


@contextlib.contextmanager
def _held_folder(path: str) -> Iterator[None]:
    """Makes a folder that is in use; makes it again if somebody swept it away before it was."""
    while True:
        os.mkdir(path)
        if not CAN_HOLD:
            yield
            return
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            hold(descriptor)
            if os.path.isdir(path):
                yield
                return
        finally:
            os.close(descriptor)


def put_in_place(newer: str, older: str) -> None:
    """Moves a whole file to the place of an older one, at once, with the permissions of that one.

    Raises OSError where the place cannot be written to.
    """
    with contextlib.suppress(OSError):  # there is none, or the system does not let us
        os.chmod(newer, stat.S_IMODE(os.stat(older).st_mode))
    os.replace(newer, older)


def sync_folder(folder: str) -> None:
    """Brings to the disk which files a folder holds, so that a power cut takes no name back.

    Systems that cannot do so, as Windows, keep names themselves.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or os.curdir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _naming(path: str, beside: str | None = None) -> Iterator[None]:
    """Makes an OSError name ``path`` where it names nothing, as a full disk does.

    It names ``path`` also in place of ``beside``, which nobody gave.
    """
    try:
        yield
    except OSError as error:
        if error.filename in (None, beside) and not isinstance(error, BrokenPipeError):
            error.filename = path
        raise
