"""The doors of compiled kernels: what stands between a call from Python and the machine code.

Kernels are marked ``@kernel``, or ``@parallel`` where their loops are shared out among threads. The
latter are entered in turn where Numba's threading layer bears one thread at a time. A process whose
threads were left behind by a fork (see :mod:`sparserec_np.machine.threads`) gets the same source
compiled for one thread: loops are independent of each other, so the bits are the same. It is
compiled on its first call there, and nobody else waits for it.
"""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from sparserec_np.kernels.cache_files import KernelCache
from sparserec_np.machine.threads import parallel_turn, threads_are_gone

if hasattr(os, "register_at_fork"):
    # Nobody compiles while the process forks: the child could never compile what was half done.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function for one thread, on first call, and keeps what was compiled."""
    return _kept(numba.njit(nogil=True, no_cfunc_wrapper=True)(function))


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that other kernels call and Python does not, as a part of each that does."""
    return numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def parallel(function: Callable[..., Any]) -> Any:
    """Compiles a function whose ``prange`` loops are shared out among Numba's threads.

    It is called from Python; other kernels cannot call it. Where Numba's compiler is switched off,
    the function stays as it is.
    """
    together = _kept(numba.njit(parallel=True, nogil=True, no_cfunc_wrapper=True)(function))
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

    def __call__(self, *arguments: Any) -> Any:
        """Runs the kernel on the threads that there are."""
        if threads_are_gone():
            return self.alone(*arguments)
        with parallel_turn():
            return self._together(*arguments)

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
