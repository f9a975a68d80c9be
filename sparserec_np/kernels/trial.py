"""A trial of the compiler: a small kernel of each kind is compiled anew, run, and compared with its plain twin.

LLVM ends the process where it is asked for an instruction that it cannot make, so the trial is a
process of its own: ``python -m sparserec_np.kernels.trial`` prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.registry import cpu_target

from sparserec_np.kernels.compiled import elementary, lanes, unfolding
from sparserec_np.kernels.reference import elementary as plain_elementary
from sparserec_np.kernels.reference import lanes as plain_lanes
from sparserec_np.kernels.reference import unfolding as plain_unfolding


def exponentials(exp_into: Callable[..., Any], compile: Callable[..., Any]) -> Any:
    """Exponentials as SIMD code."""

    def run(x: Any, out: Any) -> None:
        exp_into(x, out)

    out = np.zeros(37, np.float32)
    compile(run)(np.linspace(-9, 9, 37, dtype=np.float32), out)
    return out


def lines(add_lines: Callable[..., Any], compile: Callable[..., Any]) -> Any:
    """Running sums of 64 numbers at a time."""

    def run(weights: Any, begins: Any, values: Any, out: Any) -> None:
        add_lines(weights, begins, 0, 2, 0, values, out, 0)

    out = np.ones(64, np.float32)
    compile(run)(np.array([2, -3], np.float32), np.array([0, 5]), np.arange(80, dtype=np.float32), out)
    return out


def rows(unfold: Callable[..., Any], compile: Callable[..., Any]) -> Any:
    """Rows whose columns are bits, unfolded."""

    def run(values: Any, bits: Any, out: Any) -> None:
        unfold(values, 1, bits, out, 0)

    out = np.ones(64, np.float32)
    compile(run)(np.arange(1, 40, dtype=np.float32), np.uint64(0xB7E1_5162_8AED_2A6B), out)
    return out


def shares(prange: Callable[..., Any], compile: Callable[..., Any]) -> Any:
    """A loop that threads share out."""

    def run(out: Any) -> None:
        for k in prange(len(out)):
            out[k] = k * k

    out = np.zeros(100, np.int64)
    compile(run)(out)
    return out


# Kind of kernels -> what is tried, with the form that is compiled and the plain one.
KINDS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "exponentials": (exponentials, elementary.exp_into, plain_elementary.exp_into),
    "sums of lines": (lines, lanes.add_lines, plain_lanes.add_lines),
    "unfolded rows": (rows, unfolding.unfold, plain_unfolding.unfold),
    "shared loops": (shares, numba.prange, range),
}


def tried() -> dict[str, bool]:
    """Compiles a kernel of each kind; kind -> whether its numbers are those of plain Python."""
    found = {}
    for kind, (attempt, compiled, plain) in KINDS.items():
        fast = attempt(compiled, numba.njit(nogil=True, parallel=compiled is numba.prange))
        found[kind] = bool(np.allclose(fast, attempt(plain, lambda function: function), rtol=1e-6, atol=0))
    return found


def chosen() -> dict[str, Any]:
    """Tells which processor kernels are made for, and which form it gets of those that have two."""
    _, name, _ = cpu_target.target_context.codegen().magic_tuple()
    return {"name": name, "unfolded_rows": "AVX-512" if unfolding.UNFOLDS else "loops"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({**chosen(), "kernels": tried()}) + "\n")
