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
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.registry import cpu_target

from sparserec_np.kernels.cache import ENDINGS, STAMP, CacheFolderWarning
from sparserec_np.kernels.compiling import progress, turns

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
    """The files of one kernel.

    Attributes:
        price: seconds of processor time that what was last saved or loaded took to compile.
    """

    price = 0.0

    def save(self, key: Any, data: Any) -> None:
        """Keeps what was compiled for ``key``: first the data, then its place in the index."""
        name = self._name_of(key)
        self._write(self._data_path(name), self._dump(data))
        self._save_index({**self._load_index(), key: (name, self.price)})

    def load(self, key: Any) -> Any:
        """Returns what was compiled for ``key``, or None."""
        name, self.price = self._load_index().get(key, (None, 0.0))
        return None if name is None else self._unpickled(self._data_path(name))

    def known(self) -> list[Any]:
        """Lists what something is kept for."""
        return list(self._load_index())

    def path_of(self, key: Any) -> str:
        """Returns the path of the file that is for ``key``."""
        path: str = self._data_path(self._name_of(key))
        return path

    def holds(self, key: Any) -> bool:
        """Tells whether there is something compiled for ``key``, without reading it."""
        return key in self._load_index()

    def saved(self) -> float:
        """Returns what more threads would have saved in the processes before, in times of compiling."""
        content = self._sound(self._saved_path)
        if content is None or not content.startswith(self._of_source):
            return 0.0
        return float(content.removeprefix(self._of_source))

    def keep_saved(self, times: float) -> None:
        """Keeps this for the next process. Raises OSError."""
        self._write(self._saved_path, self._of_source + repr(float(times)).encode())

    @property
    def _of_source(self) -> bytes:
        """What a file that is no index says first: of which Numba and which source it is."""
        return f"{self._version} {self._source_stamp!r} ".encode()

    @property
    def _saved_path(self) -> str:
        return str(self._index_path).removesuffix(".nbi") + ".nbs"

    def _name_of(self, key: Any) -> str:
        """Makes a name of the types and the processor, the first two parts of a key."""
        base = self._index_name.removesuffix(".nbi")
        return f"{base}.{hashlib.sha256(repr(key[:2]).encode()).hexdigest()[:16]}.nbc"

    def _load_index(self) -> dict[Any, tuple[str, float]]:
        found = self._unpickled(self._index_path)
        if found is None or found[:2] != (self._version, self._source_stamp):
            return {}
        return dict(found[2])

    def _save_index(self, overloads: dict[Any, tuple[str, float]]) -> None:
        self._write(self._index_path, self._dump((self._version, self._source_stamp, overloads)))

    def _unpickled(self, path: str) -> Any:
        """Reads a file; returns None where there is none that is sound and means something here."""
        content = self._sound(path)
        if content is None:
            return None
        try:
            return pickle.loads(content)
        except Exception:  # of another Numba, or with types that are gone since: it may raise anything
            return None

    def _sound(self, path: str) -> bytes | None:
        """Reads what a file holds before its sum; returns None where there is none that is sound."""
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError:
            return None
        if not is_sound(content):
            _told.warn("damaged", f"{path} is damaged; what is, is compiled anew, which takes its time once.")
            return None
        return content[:-SUM_BYTES]

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as stream:
            stream.write(content + hashlib.sha256(content).digest())


class KernelCache(FunctionCache):
    """What Numba asks for compiled code, and gives it to."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._files: Any = self._cache_file
        self._files.__class__ = KernelFiles  # the same names and stamps, other ways to read and write
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._begun = 0.0
        self.prices: dict[Any, float] = {}

    @property
    def _turn(self) -> tuple[str, str]:
        return os.path.join(self.cache_path, STAMP), self._name

    @property
    def price(self) -> float:
        """Seconds of processor time that everything in use took to compile, when it was."""
        return sum(self.prices.values())

    def holds(self, sig: Any) -> bool:
        """Tells whether something is kept for these argument types, without reading it."""
        return bool(self._files.holds(self._index_key(sig, cpu_target.target_context.codegen())))

    def saved(self) -> float:
        """Returns what more threads would have saved in the processes before, in times of compiling."""
        return float(self._files.saved())

    def keep_saved(self, times: float) -> None:
        """Keeps this for the next process, where the folder lets it."""
        with suppress(OSError):
            self._files.keep_saved(times)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns what was compiled before, or None, upon which Numba compiles.

        Where another process is about to compile the same, waits for what it makes.
        """
        found = super().load_overload(sig, target_context)
        if found is None:
            progress.begin(self._name)
            turns.take(*self._turn)
            found = super().load_overload(sig, target_context)
            if found is not None:
                turns.give_back(*self._turn)
                progress.leave(self._name)
        if found is not None:
            self.prices[sig] = self._files.price
        self._begun = time.thread_time()
        return found

    def kept(self, context: Any) -> list[tuple[Any, str]]:
        """Lists the forms made for this processor: the types of arguments, and the file."""
        context.refresh()
        codegen = context.codegen()
        mine = [key for key in self._files.known() if key == self._index_key(key[0], codegen)]
        found = [(key[0], self._files.path_of(key)) for key in mine]
        return [(types, path) for types, path in found if os.path.exists(path)]

    def loads(self, sig: Any, context: Any) -> bool:
        """Loads what is kept for these argument types, waiting for nobody; returns whether it could."""
        return super().load_overload(sig, context) is not None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps what was compiled; warns where it cannot be kept, as on a full disk."""
        self.prices[sig] = self._files.price = time.thread_time() - self._begun
        progress.end(self._name, self.prices[sig])
        try:
            super().save_overload(sig, data)
        except OSError as error:
            reason = error.strerror or str(error)
            _told.warn(
                "full",
                f"Compiled kernels cannot be kept in {self.cache_path} ({reason}): they are compiled anew in later"
                " runs. Make room there, or set NUMBA_CACHE_DIR to a folder that has some.",
            )
        finally:
            turns.give_back(*self._turn)
