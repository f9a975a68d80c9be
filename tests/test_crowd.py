"""One model asked by many at once, on each of Numba's threading layers: lists as one alone gets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numba
import pytest

from tests.makers.crowd import WAYS

CHECKOUT = Path(__file__).parents[1]
LAYERS = ("workqueue", "omp", "tbb")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a system that does not fork"),
    pytest.mark.skipif(
        bool(numba.config.DISABLE_JIT), reason="plain kernels have no layer, and take minutes"
    ),
]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )


@cache
def is_there(layer: str) -> bool:
    """Whether Numba has the layer here."""
    code = "import numba; numba.get_num_threads(); print(numba.threading_layer())"
    return python("-c", code, NUMBA_THREADING_LAYER=layer).stdout.strip() == layer


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", [way.__name__ for way in WAYS])
def test_everybody_gets_what_one_alone_gets(way: str, layer: str) -> None:
    if not is_there(layer):
        pytest.skip(f"Numba has no layer {layer} here")
    done = python("-m", "tests.makers.crowd", way, NUMBA_THREADING_LAYER=layer)
    assert done.returncode == 0, done.stderr
    # Before that, TBB may say what becomes of its threads in a fork.
    assert json.loads(done.stdout.splitlines()[-1]) == [True, layer]
    assert done.stderr == ""
