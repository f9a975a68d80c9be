"""The plan: settings become objects, once."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import OnePerPair, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.model import Decay
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.training.order import BatchOrder, CellOrder
from sparserec_np.training.plan import Plan, budget_of
from sparserec_np.training.settings import Config
from tests.makers.small import small_log

LOG = small_log(60, 40, 900)


def planned(**settings: object) -> Plan:
    return Plan.of(Config.from_dict(settings), LOG)


def test_settings_become_objects() -> None:
    assert planned(loss="bpr", negatives=1).negatives == OnePerPair()
    assert planned(negatives=7).negatives == SharedBlock(7)
    for model, count in (("mf", 256), ("lightgcn", 256), ("neumf", 64)):
        assert planned(model=model).negatives == SharedBlock(count)
        assert planned(model=model).settings.negatives == count
    growth = planned(explore=0.5, importance="uniform").growth
    assert isinstance(growth, AccumulatedGrowth) and growth.exploration == Exploration(0.5, "uniform")
    assert planned(drop_fraction=0.1, drop_until=0.2, drop_interval=3).drops == DropSchedule(0.1, 0.2, 3)
    assert planned(floor=2, regrow_start=0.25).topology == TopologyUpdate(2, 0.25)
    assert isinstance(planned().order(LOG, 0), BatchOrder)
    assert isinstance(planned(order="cells").order(LOG, 0), CellOrder)


def test_l2_weights_are_given_or_the_losss_own() -> None:
    origin = np.zeros(4, np.float32)
    own = LOSSES["bpr"].decay
    given = planned(loss="bpr", l2_user=0.1, l2_positive=0.2, l2_negative=0.3)
    assert given.decay(origin) == Decay(0.1, 0.2, 0.3, origin)
    assert planned(loss="bpr", l2_user=0.1).decay(origin)[:3] == (0.1, own, own)
    assert planned(loss="bpr").settings.l2_user == own


@pytest.mark.parametrize(
    ("decay_to", "from_data", "near"), [("start", True, True), ("start", False, False), ("zero", True, False)]
)
def test_l2_terms_draw_to_a_start_that_knows_the_data(decay_to: str, from_data: bool, near: bool) -> None:
    assert planned(decay_to=decay_to).keeps_near(from_data) is near
    assert not planned(decay_to=decay_to, l2_user=0, l2_positive=0, l2_negative=0).keeps_near(from_data)


def test_a_start_that_knows_nothing_is_not_weighed() -> None:
    plan = planned(swap_margin=3.0)
    assert plan.margin(from_data=True) == 3.0
    assert plan.margin(from_data=False) == 0.0


@pytest.mark.parametrize("model", ["mf", "fism"])
def test_the_budget_in_entries_is_the_same_in_any_width(model: str) -> None:
    rows = 40 if model == "fism" else 100
    for dim in (8, 256, 257, 1024):
        budget = budget_of(LOG, Config(model=model, dim=dim, density=0.9, entries=320))
        assert (budget.rows, budget.dim, budget.nnz) == (rows, dim, 320)
    with pytest.raises(ConfigError, match=f"{rows} rows of 3 columns hold 1 to {3 * rows}; change"):
        budget_of(LOG, Config(model=model, dim=3, entries=320))


def test_bytes_grant_fewer_entries_where_columns_take_two() -> None:
    narrow, wide = (budget_of(LOG, Config(dim=dim, memory_budget=5_000)) for dim in (256, 257))
    left = 5_000 - narrow.fixed_bytes
    assert narrow.fixed_bytes == wide.fixed_bytes
    assert (narrow.nnz, wide.nnz) == (left // 5, left // 6)


def test_methods_spend_a_budget_in_entries() -> None:
    assert planned(dim=10, entries=250, method="sparserec").budget.nnz == 250
    assert planned(dim=10, entries=250, method="dense-small").budget.nnz == 200
    assert planned(dim=10, entries=250, method="dense").budget.nnz == 1000


def test_the_start_is_full_where_pruning_comes_later() -> None:
    rows = LOG.n_users + LOG.n_items
    assert planned(dim=10, density=0.2).first_entries == 2 * rows
    assert planned(dim=10, density=0.2, method="magnitude").first_entries == 10 * rows
    assert planned(dim=10, density=0.2, method="magnitude", epochs=0).first_entries == 2 * rows


def test_a_trial_changes_the_start_and_the_rate_alone() -> None:
    plan = planned(dim=12)
    trial = plan.with_trial("als", 0.25)
    assert (trial.settings.start, trial.highest_rate) == ("als", 0.25)
    assert trial.with_trial("spectral", plan.highest_rate) == plan
