"""The folder in which Numba keeps compiled kernels: found, checked, and made where there is none.

By itself Numba takes the first of these folders that it can write to, and says nothing: the one
named by ``NUMBA_CACHE_DIR``, ``__pycache__`` beside the kernels, the user's cache folder. Where
there is none, it raises while the kernels are imported.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numba

from sparserec_np import __version__
from sparserec_np.errors import SparseRecError

# The file beside the kernels that says which version of the library they are of, and how their
# files are laid out, which :mod:`sparserec_np.kernels.cache_files` says.
STAMP = "sparserec_np.version"
MARK = f"{__version__}, with sums and prices"
# Of files of kernels: the index of each, what was compiled, and what more threads would have saved.
ENDINGS = (".nbi", ".nbc", ".nbs")


class CacheFolderWarning(UserWarning):
    """A warning that compiled kernels are not kept where one would look for them."""


class CacheFolder(NamedTuple):
    """The folder of compiled kernels.

    Attributes:
        path: the folder, or None where nothing is compiled.
        lasting: whether the next process finds them there.
    """

    path: str | None
    lasting: bool


def settle_cache_folder(kernel: Callable[..., Any]) -> CacheFolder:
    """Settles where compiled kernels are kept: where Numba says, or in a temporary folder.

    Warns where a folder was passed over that one would expect.

    That the user's cache folder is used warns as long as nothing is in it: the first run compiles,
    later ones do not.

    What another version of this library has left there is removed: names in it may be gone, which
    Numba cannot read.

    Args:
        kernel: a function in the folder of the kernels.

    Raises:
        SparseRecError: not even a temporary folder can be made.
    """
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    own = os.path.join(os.path.dirname(os.path.abspath(kernel.__code__.co_filename)), "__pycache__")
    try:
        path = _folder_of(kernel)
    except RuntimeError:  # there is none
        _make_temporary_folder()
        _warn(
            f"{wanted or own} cannot be written to, nor can the user's cache folder, so kernels are compiled anew in"
            " every run; set NUMBA_CACHE_DIR to a folder of yours."
        )
        return CacheFolder(_folder_of(kernel), lasting=False)
    if path is None:
        return CacheFolder(None, lasting=False)
    if wanted and not _inside(path, wanted):
        _warn(
            f"NUMBA_CACHE_DIR names {wanted}, which cannot be written to; compiled kernels are kept in {path}."
        )
    elif not wanted and not _inside(path, own) and not os.listdir(path):
        _warn(f"{own} cannot be written to; compiled kernels are kept in {path}.")
    _remove_other_versions(path)
    return CacheFolder(path, lasting=True)


def _remove_other_versions(path: str) -> None:
    """Empties the folder of kernels, unless this version of the library has filled it."""
    stamp = os.path.join(path, STAMP)
    try:
        with open(stamp, encoding="utf-8") as stream:
            if stream.read() == MARK:
                return
    except (OSError, ValueError):
        pass
    for name in os.listdir(path):
        if name.endswith(ENDINGS):
            with suppress(OSError):  # another process may be doing the same
                os.remove(os.path.join(path, name))
    with suppress(OSError), open(stamp, "w", encoding="utf-8") as stream:
        stream.write(MARK)


def _folder_of(kernel: Callable[..., Any]) -> str | None:
    """Returns the folder that Numba chooses; None where its compiler is switched off.

    Raises RuntimeError where there is no folder to choose.
    """
    statistics = getattr(numba.njit(cache=True)(kernel), "stats", None)
    return None if statistics is None else str(statistics.cache_path)


def _make_temporary_folder() -> None:
    """Makes a folder for kernels that goes with the process.

    One that stays would have to be nobody else's: kernels are programs.
    """
    try:
        path = tempfile.mkdtemp(prefix="sparserec-kernels-")
    except OSError as error:
        raise SparseRecError(
            f"There is no folder to keep compiled kernels in ({error.strerror or error}); set NUMBA_CACHE_DIR to a"
            " folder of yours that can be written to"
        ) from error
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = path
    numba.config.reload_config()


def _inside(path: str, folder: str) -> bool:
    path, folder = os.path.abspath(path), os.path.abspath(folder)
    return os.path.commonpath([path, folder]) == folder


def _warn(sentence: str) -> None:
    warnings.warn(sentence, CacheFolderWarning, stacklevel=2)
