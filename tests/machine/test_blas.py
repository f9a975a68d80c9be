"""What is left of a model where BLAS adds in another order, as it does on another processor.

docs/reliability.md has the figures of more kernels of OpenBLAS and of other processors. This pins
their size.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

OTHERS = ("Haswell", "Prescott")  # the oldest processors that OpenBLAS has code of its own for
ARCHITECTURES = """
import json, numpy, scipy.linalg, threadpoolctl
pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
print(json.dumps([pool.get("architecture") for pool in pools]))
"""


def call(words: list[str], core: str | None) -> str:
    """What a command prints, with the BLAS of a processor, or of this one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment |= {"OPENBLAS_CORETYPE": core} if core else {}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def architectures(core: str | None) -> list[str | None]:
    found: list[str | None] = json.loads(call([sys.executable, "-c", ARCHITECTURES], core))
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[list[str], np.ndarray]]]:
    """A folder with interactions, and the lists of this processor's BLAS."""
    folder = tmp_path_factory.mktemp("blas")
    call([command(), "data", "generate", str(folder / "log.csv"), "--users", "1000", "--items", "600"], None)
    return folder, lists_of(folder, None)


def command() -> str:
    found = shutil.which("sparserec", path=str(Path(sys.executable).parent))
    assert found is not None
    return found


def lists_of(folder: Path, core: str | None) -> dict[str, tuple[list[str], np.ndarray]]:
    """User -> the items of the list and their scores, of a model trained with the BLAS of a processor."""
    run = str(folder / f"run-{core}")
    settings = ["--model", "mf", "--start", "spectral", "--epochs", "2", "--learning-rate", "0.01"]
    call([command(), "train", str(folder / "log.csv"), "-o", run, "--threads", "1", *settings], core)
    lines = call([command(), "recommend", run, "--all-users", "-n", "20", "-o", "-"], core).splitlines()
    found = {}
    for line in map(json.loads, lines):
        found[str(line["user"])] = (line["items"], np.array(line["scores"]))
    return found


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of x86-64")
@pytest.mark.parametrize("core", OTHERS)
def test_lists_and_scores_stay_but_for_a_few(
    core: str, own: tuple[Path, dict[str, tuple[list[str], np.ndarray]]]
) -> None:
    if architectures(core) == architectures(None):
        pytest.skip("this BLAS has one form alone")
    folder, mine = own
    theirs = lists_of(folder, core)
    assert theirs.keys() == mine.keys() and len(mine) > 900
    same = sum(theirs[user][0] == mine[user][0] for user in mine)
    alike = sum({*theirs[user][0]} == {*mine[user][0]} for user in mine)
    # A row whose mask has another entry at its edge scores otherwise: a few in a thousand.
    near = sum(np.abs(theirs[user][1] - mine[user][1]).max() < 0.01 for user in mine)
    assert same >= 0.95 * len(mine), (same, alike, near)
    assert min(alike, near) >= 0.99 * len(mine), (same, alike, near)
