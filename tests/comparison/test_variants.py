"""The variants of a comparison: all combinations, each once, and why some cannot be."""

from __future__ import annotations

from sparserec_np.comparison.variants import COUNTED, Axes, variants_of
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.settings import Config
from tests.makers.small import small_log

LOG = small_log(60, 40, 900)
DENSITIES = (("density", 0.25), ("density", 0.5))


def made(axes: Axes, **common: object):
    return variants_of(axes, {"dim": 8, **common}, LOG)


def test_all_combinations_are_made_in_their_order() -> None:
    variants, impossible = made(
        Axes(("mf", "lightgcn"), ("sparserec", "set"), DENSITIES, ("spectral", "uniform"))
    )
    assert not impossible and len({one.name for one in variants}) == len(variants) == 16
    assert [one.method for one in variants[:2]] == ["sparserec", "set"]
    assert variants[0].name == "mf-sparserec-density-0.25-spectral"
    assert variants[0].config == Config(dim=8, density=0.25, start="spectral")
    assert variants[0].entries == 200 and variants[0].run(3) == "mf-sparserec-density-0.25-spectral-seed-3"


def test_what_knows_no_budget_is_there_once() -> None:
    variants, _ = made(Axes(("mf", "popularity"), ("static", "dense"), DENSITIES, ("spectral", "uniform")))
    dense = [one for one in variants if METHODS.get(one.method) == METHODS["dense"]]
    assert [one.start for one in dense] == ["spectral", "uniform"] and {one.entries for one in dense} == {800}
    assert [one.name for one in variants if one.method == COUNTED] == ["popularity-counted"]


def test_impossible_ones_are_told_and_stop_nobody() -> None:
    axes = Axes(
        ("mf", "fism"), ("static", "dense-small"), (("density", 0.01), ("density", 0.5)), (None, "neighbours")
    )
    variants, impossible = made(axes)
    assert [one.name for one in variants if one.model == "mf"] == [
        "mf-static-density-0.01",
        "mf-static-density-0.5",
        "mf-dense-small-density-0.5",
    ]
    reasons = {one.name: one.reason for one in impossible}
    assert "an entry for each of" in reasons["mf-dense-small-density-0.01"]
    assert "which the model mf stores" in reasons["mf-static-density-0.5-neighbours"]
    assert "neighbours of items are never full" in reasons["fism-dense-small-density-0.5-neighbours"]


def test_a_setting_of_one_model_is_left_out_of_the_others() -> None:
    variants, impossible = made(
        Axes(("mf", "lightgcn", "popularity"), ("static",), DENSITIES[:1], (None,)), layers=2
    )
    assert not impossible
    assert [one.config.layers for one in variants] == [None, 2, None]


def test_budgets_may_be_entries_or_bytes() -> None:
    variants, _ = made(Axes(("mf",), ("static",), (("entries", 300), ("memory_budget", 2500)), (None,)))
    assert variants[0].entries == 300 and variants[1].bytes is not None and 2400 < variants[1].bytes <= 2500
    assert variants[1].name == "mf-static-memory-budget-2500"
