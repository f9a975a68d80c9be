"""The files of compiled kernels, read with care and written so that processes do not mix theirs up.

Numba keeps an index for each kernel and a file for each combination of argument types. It trusts
what it finds: a power cut, a full disk or a copy that was cut short leaves files that end every
later run. So each file ends with the SHA-256 sum of what goes before, and a file whose sum differs
is as good as none: the kernel is compiled anew and the file replaced.

Numba also numbers the files of a kernel, and writes the index first. Two processes that compile the
same kernel for different types at once take the same number; then one's code is called with the
other's arguments (https://github.com/numba/numba/issues/10128). Here a file's name is made of the
types, and it is there before the index names it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from sparserec_np.kernels.cache import CacheFolderWarning

ENDINGS = (".nbi", ".nbc")
SUM_BYTES = hashlib.sha256().digest_size


def is_sound(content: bytes) -> bool:
    """Tells whether the content of a file is as it was written."""
    return hashlib.sha256(content[:-SUM_BYTES]).digest() == content[-SUM_BYTES:]


def damaged_files(folder: str) -> Iterator[str]:
    """Yields the paths of files in the folder that are not as they were written.

    Raises OSError for one that cannot be read.
    """
    for name in sorted(os.listdir(folder)):
        if name.endswith(ENDINGS):
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                if not is_sound(stream.read()):
                    yield path


class _Told:
    """The warnings that were given: each is given once in a process."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def warn(self, kind: str, sentence: str) -> None:
        if kind not in self._kinds:
            self._kinds.add(kind)
            warnings.warn(sentence, CacheFolderWarning, stacklevel=2)


_told = _Told()


class KernelFiles(IndexDataCacheFile):
    """The files of one kernel."""

    def save(self, key: Any, data: Any) -> None:
        """Keeps what was compiled for ``key``: first the data, then its place in the index."""
        name = self._name_of(key)
        self._write(self._data_path(name), self._dump(data))
        self._save_index({**self._load_index(), key: name})

    def load(self, key: Any) -> Any:
        """Returns what was compiled for ``key``, or None."""
        name = self._load_index().get(key)
        return None if name is None else self._unpickled(self._data_path(name))

    def known(self) -> list[Any]:
        """Lists what something is kept for."""
        return list(self._load_index())

    def path_of(self, key: Any) -> str:
        """Returns the path of the file that is for ``key``."""
        path: str = self._data_path(self._name_of(key))
        return path

    def _name_of(self, key: Any) -> str:
        """Makes a name of the types and the processor, the first two parts of a key."""
        base = self._index_name.removesuffix(".nbi")
        return f"{base}.{hashlib.sha256(repr(key[:2]).encode()).hexdigest()[:16]}.nbc"

    def _load_index(self) -> dict[Any, str]:
        found = self._unpickled(self._index_path)
        if found is None or found[:2] != (self._version, self._source_stamp):
            return {}
        return dict(found[2])

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, self._dump((self._version, self._source_stamp, overloads)))

    def _unpickled(self, path: str) -> Any:
        """Reads a file; returns None where there is none that is sound and means something here."""
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError:
            return None
        if not is_sound(content):
            _told.warn("damaged", f"{path} is damaged; what is, is compiled anew, which takes its time once.")
            return None
        try:
            return pickle.loads(content[:-SUM_BYTES])
        except Exception:  # of another Numba, or with types that are gone since: it may raise anything
            return None

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as stream:
            stream.write(content + hashlib.sha256(content).digest())


class KernelCache(FunctionCache):
    """What Numba asks for compiled code, and gives it to."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file.__class__ = KernelFiles  # the same names and stamps, other ways to read and write

    def kept(self, context: Any) -> list[tuple[Any, str]]:
        """Lists the forms made for this processor: the types of arguments, and the file."""
        context.refresh()
        codegen = context.codegen()
        files = self._cache_file
        assert isinstance(files, KernelFiles)
        mine = [key for key in files.known() if key == self._index_key(key[0], codegen)]
        found = [(key[0], files.path_of(key)) for key in mine]
        return [(types, path) for types, path in found if os.path.exists(path)]

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps what was compiled; warns where it cannot be kept, as on a full disk."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            reason = error.strerror or str(error)
            _told.warn(
                "full",
                f"Compiled kernels cannot be kept in {self.cache_path} ({reason}): they are compiled anew in later"
                " runs. Make room there, or set NUMBA_CACHE_DIR to a folder that has some.",
            )
