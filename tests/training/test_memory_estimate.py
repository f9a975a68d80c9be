"""The estimate of memory: its arithmetic, and what limits leave out or refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.machine import CHECKOUT
from sparserec_np import Config, generate
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine import limits
from sparserec_np.machine.limits import COMPILED, Limit, asked_memory
from sparserec_np.starts import ITEM_STARTS, starts_of
from sparserec_np.starts import STARTS as USER_STARTS
from sparserec_np.training.memory_estimate import STARTS, MemoryEstimate, fitting
from sparserec_np.training.plan import Plan
from sparserec_np.training.search import estimate
from sparserec_np.training.starting import make_start

LOG = generate(300, 200, 4000, seed=1)
PLAN = Plan.of(Config(model="mf", dim=16, density=0.3), LOG)
LIBRARIES = COMPILED.resident[0]


def test_every_start_has_an_estimate() -> None:
    assert set(STARTS) == {(stores, name) for stores in (True, False) for name in starts_of(stores)}
    assert len(STARTS) == len(USER_STARTS) + len(ITEM_STARTS)


def test_the_largest_stage_counts() -> None:
    made = MemoryEstimate(10**6, 2 * 10**6, 30 * 10**6, 4 * 10**6, "als", 215 * 10**6)
    assert made.total == 246 * 10**6 and made.rows()["start"] == 30 * 10**6
    assert made.arithmetic() == "about 246 MB (libraries 215 MB, interactions 1 MB, start als 30 MB)"
    assert "training 40 MB)" in replace(made, training=40 * 10**6).arithmetic()


@pytest.mark.parametrize("model", ["mf", "fism", "lightgcn", "neumf"])
def test_more_of_anything_needs_more(model: str) -> None:
    small = estimate(LOG, Config(model=model, dim=16), 1)
    assert estimate(generate(600, 400, 9000, seed=1), Config(model=model, dim=16), 1).data > small.data
    assert estimate(LOG, Config(model=model, dim=64), 1).data > small.data
    assert estimate(LOG, Config(model=model, dim=16), 4).total > small.total


def test_starts_that_do_not_fit_are_left_out_and_noted() -> None:
    needs = {name: MemoryEstimate.of(LOG, PLAN, name, 1).total for name in ("spectral", "condensed")}
    with asked_memory(Limit("--memory-limit", needs["spectral"])) as asked:
        assert fitting(LOG, PLAN, ("spectral", "condensed"), 1) == ("spectral",)
        assert asked.left_out == {"condensed of mf 16": needs["condensed"]}
    with asked_memory() as asked:
        assert fitting(LOG, PLAN, ("spectral", "condensed"), 1) == ("spectral", "condensed")
        assert not asked.left_out


def test_what_does_not_fit_is_refused_with_arithmetic() -> None:
    plan = PLAN.with_trial("condensed", 0.01)
    few = MemoryEstimate.of(LOG, PLAN, "spectral", 1).total
    with asked_memory(Limit("--memory-limit 200MB", few)), pytest.raises(ConfigError) as caught:
        make_start(LOG, plan, 1)
    assert str(caught.value).startswith("Training needs about ")
    assert "start condensed" in str(caught.value) and str(caught.value).endswith(
        "use --start spectral, or a smaller --dim"
    )
    with asked_memory(Limit("--memory-limit 9kB", 9000)), pytest.raises(ConfigError) as caught:
        make_start(LOG, plan, 1)
    assert str(caught.value).endswith("nothing can be trained in less than 215 MB")
    with asked_memory(Limit("--memory-limit", LIBRARIES + 1)), pytest.raises(ConfigError) as caught:
        make_start(LOG, plan, 1)
    assert str(caught.value).endswith("use a smaller --dim, or fewer interactions")


def test_a_limit_of_the_system_is_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "hard_limits", lambda: [Limit("RLIMIT_DATA (ulimit -d)", 10**8, "data")])
    with pytest.raises(SparseRecError, match=r"allows 100 MB, and libraries take \d+ MB of it") as caught:
        make_start(LOG, PLAN.with_trial("spectral", 0.01), 1)
    assert not isinstance(caught.value, ConfigError)


@pytest.mark.slow
def test_the_estimate_bounds_the_peak() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.studies.memory_estimate", "--json", "--quick"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout):
        assert row["peak"] < row["estimate"]["total"] < 2 * row["peak"]
