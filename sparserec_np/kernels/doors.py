"""The doors of compiled kernels: what stands between a call from Python and the machine code.

Kernels are marked ``@kernel``, or ``@parallel`` where their loops may be shared out among threads,
and ``@inner`` where other kernels alone call them.

A parallel kernel has two forms, of the same source: one for all threads, and one for a single one,
which takes less than half as long to compile. Loops are independent of each other, so the bits are
the same. A kernel begins on one thread, unless its form for all is compiled and kept already. It is
compiled for all once more threads would have saved enough for that to pay; processes that end leave
word of it beside what they have compiled. So a first run on little data waits for little, and long
or many runs for nothing that they would not gain. A process whose threads were left behind
by a fork (see :mod:`sparserec_np.machine.threads`) stays on one. Kernels on all threads are entered
in turn where Numba's threading layer bears one caller at a time.
"""

from __future__ import annotations

import atexit
import functools
import os
import time
import types
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from sparserec_np.kernels.cache_files import KernelCache
from sparserec_np.kernels.sharing import Haste
from sparserec_np.machine.threads import parallel_turn, shared_threads, threads_are_gone

# The form for all threads takes some 2.5 times as long to compile as that for one. It is made when
# all threads would have saved as much by then: whatever comes after, no more than twice is lost.
PATIENCE = 2.5
# Calls of fewer seconds gain little: setting threads to work takes hundredths of a millisecond.
SHORT = 1e-4
WORD = 0.02  # of that time to compile: what is saved less is not worth a file
OPTIONS: Any = {"nogil": True, "no_cfunc_wrapper": True}  # nobody calls kernels from C
OF_INNER: Any = {"no_cpython_wrapper": True}

if hasattr(os, "register_at_fork"):
    # Nobody compiles while the process forks: the child could never compile what was half done.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function for one thread, on first call, and keeps what was compiled."""
    return _kept(numba.njit(**OPTIONS)(function))


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that other kernels call and Python does not, as a part of each that does."""
    return numba.njit(**OPTIONS, **OF_INNER)(function)


def parallel(function: Callable[..., Any]) -> Any:
    """Compiles a function whose ``prange`` loops can be shared out among Numba's threads.

    It is called from Python; other kernels cannot call it. Where Numba's compiler is switched off,
    the function stays as it is.
    """
    together = _kept(numba.njit(parallel=True, **OPTIONS)(function))
    return function if together is function else ParallelKernel(together, function)


def _kept(compiled: Any) -> Any:
    """Lets Numba's function keep what it compiles; as the option ``cache`` does, but with our files."""
    if hasattr(compiled, "enable_caching"):  # else it is plain Python
        compiled._cache = KernelCache(compiled.py_func)
    return compiled


class ParallelKernel:
    """A parallel kernel with its door; it has the attributes of Numba's function, too."""

    def __init__(self, together: Any, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._together, self._function = together, function
        self._shared = self._looked = False
        self._saved = 0.0  # seconds that more threads would have saved in this process
        self._before = 0.0  # and in those before, in times that the form for one took to compile

    def __call__(self, *arguments: Any) -> Any:
        """Runs the kernel on all threads, or on one as long as that is as good."""
        if threads_are_gone() or not (self._shared or self._is_to_be_shared(arguments)):
            clock = time.thread_time()
            try:
                return self.alone(*arguments)
            finally:
                spent = time.thread_time() - clock
                if spent > SHORT:
                    self._saved += spent * (1 - 1 / shared_threads())
        with parallel_turn():
            return self._together(*arguments)

    @property
    def forms(self) -> list[Any]:
        """Both forms, as Numba's functions."""
        return [self._together, self.alone]

    def _is_to_be_shared(self, arguments: tuple[Any, ...]) -> bool:
        """Decides whether the loops are shared out from now on."""
        if not self._looked:
            self._looked = True
            self._shared = self._together._cache.holds(tuple(map(self._together.typeof_pyval, arguments)))
            if not self._shared:
                self._before = self.alone._cache.saved()
                atexit.register(self._leave_word)
        if not self._shared and (Haste.on or self._pays()):
            self._shared = shared_threads() > 1
        return self._shared

    def _pays(self) -> bool:
        """Decides whether more threads would have saved as much as it takes to compile for them."""
        missing = PATIENCE - self._before
        return missing <= 0 or self._saved > missing * self.alone._cache.price

    def _leave_word(self) -> None:
        """Tells the next process what more threads would have saved, where it is worth a file."""
        cache = self.alone._cache
        if self._shared and self._before:
            cache.keep_saved(0.0)  # they do
        elif not self._shared and self._saved > WORD * cache.price > 0:
            cache.keep_saved(self._before + self._saved / cache.price)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks of any object, while this one is made
            raise AttributeError(name)
        return getattr(self._together, name)

    @functools.cached_property
    def alone(self) -> Any:
        """The same kernel for one thread.

        It has a name of its own, by which Numba keeps what it compiles.
        """
        own = self._function
        twin = types.FunctionType(own.__code__, own.__globals__, f"{own.__name__}_alone", own.__defaults__)
        twin.__module__, twin.__qualname__ = own.__module__, f"{own.__qualname__}_alone"
        return kernel(twin)
