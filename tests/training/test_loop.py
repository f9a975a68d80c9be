"""The training loop: budgets held, bits repeated, epochs chosen, interruptions survived; for every method."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.kernels.arguments import Explored
from sparserec_np.kernels.compiled import topology
from sparserec_np.learning.optimizers import OPTIMIZERS, Optimizer
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.growth import AccumulatedGrowth, Growth, LastBatchGrowth
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.starts import STARTS
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record
from sparserec_np.training.plan import budget_of, model_over
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers.small import needs_compiler, same_bits, small_log
from tests.makers.trainings import (
    EVERY_METHOD,
    HELD,
    KEPT,
    LARGER,
    LOG,
    ROWS,
    TINY,
    WITHOUT_WARNINGS,
    fit,
    ndcg,
    stop_at,
)

# ---- the budget


@EVERY_METHOD
@pytest.mark.parametrize("decay_to", ["start", "zero"])
def test_the_budget_holds_at_every_topology_update(
    method: str, decay_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = METHODS[method].spend(Budget.of_density(ROWS, 8, 0.3))
    full = round(METHODS[method].full_until * 6)
    sizes = [
        METHODS[method].entries_after(epoch / full if full else 1, ROWS * 8, budget.nnz) for epoch in range(7)
    ]
    plain, changes = TopologyUpdate.__call__, []

    def checked(
        self: TopologyUpdate,
        table: SparseTable,
        growth: Growth,
        explored: Explored,
        fraction: float,
        optimizer: Optimizer,
        rng: np.random.Generator,
    ) -> int:
        assert fraction > 0
        entries = sizes[len(changes) + 1]
        assert table.nnz == entries
        before = np.diff(table.indptr)
        changed = plain(self, table, growth, explored, fraction, optimizer, rng)
        table.validate(budget.dim)
        assert (table.rows, table.nnz) == (ROWS, entries)
        assert np.all(np.diff(table.indptr) >= np.minimum(before, self.floor))
        if type(growth) is AccumulatedGrowth:
            assert len(explored.sums) == round(0.5 * ROWS)
        assert optimizer.optimizer.nbytes == 8 * entries + 4 * ROWS
        assert len(optimizer.origin) == (entries if decay_to == "start" else 0)
        changes.append(changed)
        return changed

    monkeypatch.setattr(TopologyUpdate, "__call__", checked)
    records: list[Record] = []
    config = replace(TINY, method=method, explore=0.5, validation=0.0, epochs=6, drop_until=0.6)
    config = replace(config, start="spectral", decay_to=decay_to)
    fitted = train(LOG, config, threads=1, on_epoch=records.append)
    growing = METHODS[method].growth.grows
    assert len(changes) == (3 if growing else 0)
    assert all(changes)
    assert [record["mask_churn"] for record in records[1:]] == [
        *(changed / sizes[epoch] for epoch, changed in enumerate(changes, 1)),
        *[0.0] * (6 - len(changes)),
    ]
    assert fitted.budget == budget and fitted.model.table.nnz == budget.nnz
    assert [record["nnz"] for record in records] == sizes
    assert all(record["rows_without_entries"] == 0 for record in records)
    fitted.model.table.validate(budget.dim)


@EVERY_METHOD
@pytest.mark.parametrize("start", STARTS)
def test_the_result_meets_the_budget_exactly(method: str, start: str) -> None:
    fitted = fit(method=method, start=start, epochs=3)
    table, dim = fitted.model.table, fitted.model.dim
    table.validate(dim)
    assert table.nnz == fitted.budget.nnz
    if method == "dense":
        assert (dim, table.nnz) == (8, 8 * ROWS)
    elif method == "dense-small":
        assert (dim, table.nnz) == (2, 2 * ROWS)  # 2.4 entries a row
        assert np.all(np.diff(table.indptr) == 2)
    else:
        assert (dim, table.nnz) == (8, round(0.3 * 8 * ROWS))


@EVERY_METHOD
def test_a_density_of_one_is_a_budget_too(method: str) -> None:
    assert fit(method=method, density=1.0, epochs=2).model.table.nnz == 8 * ROWS


@pytest.mark.parametrize("method", ["sparserec", "rigl", "set", "static", "magnitude", "granet"])
def test_less_than_an_entry_a_row_is_a_budget_too(method: str) -> None:
    fitted = fit(method=method, density=0.05, epochs=3)
    assert fitted.model.table.nnz == 40 < ROWS
    assert fitted.history[-1]["rows_without_entries"] >= ROWS - 40


def test_budgets_in_bytes() -> None:
    config = replace(TINY, memory_budget=1500)
    named = replace(LOG, user_ids=np.array([f"u{user:03}" for user in range(LOG.n_users)]))
    budget = budget_of(named, config)
    assert budget.id_bytes > 0 and budget.total_bytes <= 1500 < budget.total_bytes + budget.entry_bytes
    assert train(named, config, threads=1).model.table.nnz == budget.nnz
    with pytest.raises(ConfigError, match="impossible"):
        fit(memory_budget=300)


def test_the_last_batch_alone_decides_where_rigl_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sums are the gradient of one batch: zero but for rows that this batch touches."""
    touched: list[set[int]] = []
    plain = MatrixFactorization.touched

    def noted(self: MatrixFactorization, batch: Any) -> Any:
        rows = plain(self, batch)
        touched.append(set(rows.tolist()))
        return rows

    seen = []

    class Watched(TopologyUpdate):
        def __call__(self, table: Any, growth: Any, explored: Explored, *rest: Any) -> Any:
            assert isinstance(growth, LastBatchGrowth)
            seen.append((set(explored.rows.tolist()), touched[-1], len(touched)))
            assert np.all(explored.sums.any(axis=1))
            return super().__call__(table, growth, explored, *rest)

    monkeypatch.setattr(MatrixFactorization, "touched", noted)
    monkeypatch.setattr("sparserec_np.training.plan.TopologyUpdate", Watched)
    fit(method="rigl", batch_size=30, validation=0.0, density=0.5)
    assert [count for _, _, count in seen] == [30, 60]  # at the end of an epoch of 30 batches
    for explored, last, _ in seen:
        assert explored == last and len(explored) < ROWS


@pytest.mark.parametrize(("interval", "updates"), [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6])])
def test_sums_run_from_one_update_to_the_next(
    interval: int, updates: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    plain = MatrixFactorization.backward

    def noted(self: MatrixFactorization, batch: Any, slopes: Any, decay: Any, gradients: Any) -> None:
        before = gradients.explored.sums.copy()
        plain(self, batch, slopes, decay, gradients)
        batches.append((gradients.explored, before.any(), gradients.explored.sums.any()))

    monkeypatch.setattr(MatrixFactorization, "backward", noted)
    drops = {"drop_fraction": 0.9, "drop_until": 0.8, "drop_interval": interval, "explore": 1.0}
    fitted = fit(validation=0.0, epochs=8, **drops)  # 5 batches an epoch
    assert [r["epoch"] for r in fitted.history if r.get("mask_churn")] == updates
    fresh = [number for number, (_, before, after) in enumerate(batches) if after and not before]
    assert fresh == [5 * (epoch - interval) for epoch in updates]
    assert not batches[-1][2]  # nothing is explored for an update that never comes


@pytest.mark.parametrize("importance", ["degree", "gradient", "uniform"])
def test_rows_are_explored_by_importance(importance: str) -> None:
    fitted = fit(importance=importance, explore=0.2)
    assert any(record.get("mask_churn") for record in fitted.history)


def test_norms_are_those_since_the_last_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate near zero every epoch has much the same gradients, and so the same norms: they do not pile up."""
    seen = []
    plain = AccumulatedGrowth.explore

    def noted(self: AccumulatedGrowth, degrees: Any, norms: Any, *rest: Any) -> Any:
        seen.append(norms.copy())
        assert np.array_equal(degrees, np.concatenate([LOG.user_degrees, LOG.item_degrees]))
        return plain(self, degrees, norms, *rest)

    monkeypatch.setattr(AccumulatedGrowth, "explore", noted)
    fit(importance="gradient", learning_rate=1e-9, drop_fraction=1e-6, validation=0.0)
    assert len(seen) == 4 and not seen[0].any()
    assert all(len(norms) == ROWS and np.count_nonzero(norms) > 0.9 * ROWS for norms in seen[1:])
    assert seen[3].sum() == pytest.approx(seen[1].sum(), rel=0.1)


# ---- learning


@EVERY_METHOD
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("loss", "negatives"), [("bpr", 1), ("bpr", 64), ("softmax", 64)])
def test_the_loss_falls(method: str, optimizer: str, loss: str, negatives: int) -> None:
    rate = {"adam": 0.05, "adagrad": 0.2, "sgd": 0.1}[optimizer]
    # A full table that is pruned loses something then: its fall is measured while it is full.
    epochs = 10 if METHODS[method].full_until else 6
    fitted = fit(
        *[LOG],
        **{"method": method, "optimizer": optimizer, "loss": loss, "negatives": negatives, "epochs": epochs},
        learning_rate=rate,
        validation=0.0,
        start="nmf",
        start_score=1.0,
    )
    losses = [record["loss"] for record in fitted.history[1:7]]
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert np.isfinite(losses).all()


@needs_compiler
def test_lists_get_better_from_a_random_start_and_beat_popularity_from_a_good_one() -> None:
    kept, held = split_random(LARGER, 0.2, np.random.default_rng(1))
    fitted = fit(kept, validation_log=held, dim=16, epochs=12, learning_rate=0.05)
    measured = [record[SELECT_BY] for record in fitted.history if SELECT_BY in record]
    assert max(measured) > 2 * measured[0]

    popular = np.argsort(-kept.item_degrees, kind="stable").astype(np.int32)

    class Popularity:
        def rank(self, users: Any, n: int, seen: Interactions) -> Any:
            lists = [
                popular[~np.isin(popular, seen.items[seen.indptr[u] : seen.indptr[u + 1]])][:n] for u in users
            ]
            return np.array(lists), np.zeros((len(users), n))

    default = train(kept, Config(dim=16, density=0.25, epochs=5), validation=held, threads=1)
    assert ndcg(default, held, kept) > 1.2 * evaluate(Popularity(), held, kept)[SELECT_BY]


# ---- dense weights


@EVERY_METHOD
def test_dense_weights_are_trained_beside_the_budget(method: str) -> None:
    fitted = fit(method=method, model="neumf", validation=0.0, epochs=8)
    budget = METHODS[method].spend(Budget.of_density(ROWS, 8, 0.3))
    assert fitted.model.table.nnz == budget.nnz
    fitted.model.table.validate(fitted.model.dim)
    untrained = model_over(fitted.config, fitted.model.table, fitted.model.dim, LOG)
    assert fitted.model.weights.shape == untrained.weights.shape
    assert (fitted.model.weights != untrained.weights).mean() > 0.9
    losses = [record["loss"] for record in fitted.history[1:]]
    assert losses[-1] < losses[0]
    # Beside themselves a gradient, two moments and a step count each.
    assert fitted.bytes["weights"] == 5 * fitted.model.weights.nbytes


def test_the_best_weights_are_kept_with_the_best_table() -> None:
    def settled(epochs: int) -> Fitted:
        return fit(KEPT, validation_log=HELD, model="neumf", learning_rate=0.1, epochs=epochs, patience=0)

    fitted = settled(8)
    reached = {record["epoch"]: record[SELECT_BY] for record in fitted.history}
    assert fitted.best_epoch < 8
    assert ndcg(fitted) == reached[fitted.best_epoch] == max(reached.values())


# ---- the same bits


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs a second thread")
@pytest.mark.parametrize(
    "changes",
    [
        {"start": "spectral"},
        {"start": "nmf", "importance": "gradient"},
        {"loss": "bpr", "negatives": 1},
        {"loss": "bpr", "negatives": 64, "method": "rigl", "optimizer": "adagrad"},
        {"method": "set", "optimizer": "sgd"},
        {"method": "magnitude"},
        {"method": "granet"},
        {"method": "dense-small"},
        {"model": "neumf", "start": "spectral"},
    ],
    ids=str,
)
def test_threads_change_no_bit(changes: dict[str, Any]) -> None:
    one, two = (train(LOG, replace(TINY, **changes), threads=threads) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert one.model.weights.tobytes() == two.model.weights.tobytes()
    assert [r["loss"] for r in one.history] == [r["loss"] for r in two.history]


@EVERY_METHOD
def test_two_runs_in_a_row_are_equal_and_two_seeds_are_not(method: str) -> None:
    one, two, other = (fit(method=method, seed=seed) for seed in (1, 1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert not same_bits(one.model.table, other.model.table)
    for a, b in zip(one.history, two.history, strict=True):
        for name in ("seconds", "triplets_per_second"):
            a.pop(name, None), b.pop(name, None)
        assert a == b


# ---- choosing the epoch


@pytest.mark.parametrize("method", ["sparserec", "set", "magnitude", "granet", "dense"])
def test_the_best_epoch_is_the_one_that_is_kept(method: str) -> None:
    fitted = fit(KEPT, validation_log=HELD, method=method, epochs=8, learning_rate=0.05, patience=0)
    measured = {r["epoch"]: r[SELECT_BY] for r in fitted.history if SELECT_BY in r}
    assert measured[fitted.best_epoch] == max(measured.values()) == ndcg(fitted)
    assert fitted.log is KEPT and {r["phase"] for r in fitted.history} == {"search"}
    assert fitted.best_epoch == min(e for e, value in measured.items() if value == max(measured.values()))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_never_ends_below_its_start(optimizer: str) -> None:
    """With an absurd rate every step is for the worse: the start is kept, bit for bit."""
    changes = {"start": "spectral", "start_score": 2.0, "optimizer": optimizer, "loss": "bpr"}
    rate = 50.0 if optimizer != "sgd" else 5.0
    fitted = fit(KEPT, validation_log=HELD, learning_rate=rate, patience=3, **changes)
    untrained = fit(KEPT, validation_log=HELD, epochs=0, **changes)
    assert fitted.best_epoch == 0 and len(fitted.history) == 4  # three looks without a better one
    assert same_bits(fitted.model.table, untrained.model.table)
    assert ndcg(fitted) == fitted.history[0][SELECT_BY] == ndcg(untrained)


def test_of_equal_epochs_the_first_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sparserec_np.training.loop.evaluate_accuracy", lambda *_: {SELECT_BY: 0.0, "recall@20": 0.0}
    )
    fitted = fit(patience=2, refit=False)
    assert fitted.best_epoch == 0 and len(fitted.history) == 3


def test_patience() -> None:
    hopeless = {"start": "spectral", "learning_rate": 20.0, "loss": "bpr", "epochs": 9, "refit": False}
    assert [len(fit(**hopeless, patience=patience).history) for patience in (1, 3, 0)] == [2, 4, 10]
    assert len(fit(**hopeless, patience=2, evaluate_every=2).history) == 5


def test_a_relative_rate_is_counted_in_the_values() -> None:
    changes = {"model": "mf", "start": "spectral", "epochs": 3, "refit": False, "patience": 0}
    values = fit(**changes | {"epochs": 0}).model.table.values.astype(np.float64)
    unit = float(np.sqrt(np.square(values).mean()))
    relative = fit(**changes, learning_rate=0.01, relative_rate=True)
    assert same_bits(relative.model.table, fit(**changes, learning_rate=unit * 0.01).model.table)
    assert relative.history[1]["learning_rate"] == 0.01 and abs(unit - 1) > 0.05


def test_a_relative_rate_brings_both_parts_to_one_size_before_the_first_step() -> None:
    changes = {"model": "fism", "start": "neighbours", "validation": 0.0, "epochs": 1}
    changes["neighbour_popularity"] = 0.0
    plain, levelled = (
        fit(**changes, learning_rate=1e-12, relative_rate=relative) for relative in (False, True)
    )
    values = levelled.model.table.values.astype(np.float64)
    sums = levelled.model.table.columns < TINY.dim
    assert np.square(values[sums]).mean() == pytest.approx(np.square(values[~sums]).mean(), rel=1e-3)
    np.testing.assert_array_equal(values[~sums], plain.model.table.values[~sums])
    assert not np.allclose(values[sums], plain.model.table.values[sums], rtol=0.05)


def test_pairs_together_are_another_order_of_the_same_pairs() -> None:
    first, second = (fit(epochs=2, validation=0.0, pairs_together=most) for most in (1, 5))
    assert not same_bits(first.model.table, second.model.table)
    assert first.history[1]["loss"] == pytest.approx(second.history[1]["loss"], rel=0.1)


def test_validation_comes_every_few_epochs_and_at_the_end() -> None:
    fitted = fit(epochs=7, evaluate_every=3, patience=0, refit=False)
    assert [r["epoch"] for r in fitted.history if SELECT_BY in r] == [0, 3, 6, 7]
    assert all("recall@20" in r for r in fitted.history if SELECT_BY in r)


@EVERY_METHOD
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_ctrl_c_while_searching_leaves_the_best_state_so_far(method: str, epoch: int) -> None:
    config = replace(TINY, method=method, learning_rate=0.05, patience=0)
    fitted = train(LOG, config, threads=1, on_epoch=stop_at("search", epoch))
    assert fitted.interrupted and len(fitted.history) == epoch + 1
    table = fitted.model.table
    table.validate(fitted.model.dim)
    assert table.nnz == fitted.budget.nnz
    kept, held = split_random(LOG, 0.1, np.random.default_rng([0, 1]))
    assert fitted.log.digest() == kept.digest()
    measured = {r["epoch"]: r[SELECT_BY] for r in fitted.history if SELECT_BY in r}
    if measured:
        assert ndcg(fitted, held, kept) == max(measured.values()) == measured[fitted.best_epoch]
    else:
        assert METHODS[method].full_until and epoch < 2


@EVERY_METHOD
def test_ctrl_c_in_the_midst_of_an_epoch(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = MatrixFactorization.backward, []

    def pressed(self: MatrixFactorization, *arguments: Any) -> None:
        calls.append(None)
        if len(calls) == 8:
            raise KeyboardInterrupt
        plain(self, *arguments)

    monkeypatch.setattr(MatrixFactorization, "backward", pressed)
    fitted = fit(method=method, validation=0.0)
    fitted.model.table.validate(fitted.model.dim)
    assert fitted.interrupted and fitted.model.table.nnz == fitted.budget.nnz
    assert len(fitted.history) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_midst_of_a_topology_update(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is a table, with entries that belong to their columns: the one before, or the one afterwards."""
    plain, tables = topology.rewrite, []

    def pressed(table: SparseTable, *change: Any) -> None:
        tables.append(table.copy())
        plain(table, *change)
        tables.append(table.copy())
        if moment == "before":
            for now, then in zip(table, tables[0], strict=True):
                now[:] = then
        raise KeyboardInterrupt

    monkeypatch.setattr(topology, "rewrite", pressed)
    fitted = fit(validation=0.0)
    assert fitted.interrupted and fitted.model.table.nnz == fitted.budget.nnz
    assert same_bits(fitted.model.table, tables[0 if moment == "before" else 1])
    assert not same_bits(*tables)
    fitted.model.table.validate(fitted.model.dim)


@WITHOUT_WARNINGS
def test_divergence_is_one_sentence() -> None:
    with pytest.raises(SparseRecError, match="diverged in epoch 1: .* lower --learning-rate") as refused:
        fit(optimizer="sgd", learning_rate=1e25, loss="bpr", epochs=2)
    assert "\n" not in str(refused.value)


# ---- memory


@needs_compiler
@pytest.mark.parametrize("method", ["sparserec", "rigl", "set", "static"])
def test_nothing_of_rows_times_dim_is_made_after_the_start(method: str) -> None:
    """Training at density 0.01 never asks for a fifth of what a dense table takes, on top of what it holds."""
    log = small_log(12_000, 8000, 30_000)
    rows, dim = 20_000, 128
    config = Config(
        method=method,
        dim=dim,
        density=0.01,
        start="uniform",
        epochs=3,
        batch_size=256,
        explore=0.01,
        negatives=32,
    )
    peaks: list[int] = []

    def on_epoch(record: Record) -> None:
        if record["epoch"]:
            peaks.append(tracemalloc.get_traced_memory()[1] - held[0])
        held[:] = tracemalloc.get_traced_memory()[:1]
        tracemalloc.reset_peak()

    held = [0]
    tracemalloc.start()
    try:
        train(log, replace(config, validation=0.0), threads=1, on_epoch=on_epoch)
    finally:
        tracemalloc.stop()
    assert len(peaks) == 3 and max(peaks) < rows * dim * 4 / 5


def test_what_is_held_is_accounted_for() -> None:
    fitted = fit(explore=0.5, validation=0.0, epochs=1)
    nnz = fitted.budget.nnz
    assert fitted.bytes["tables"] == 5 * nnz + 4 * (ROWS + 1)
    assert fitted.bytes["gradient"] == 4 * nnz
    assert fitted.bytes["optimizer"] == 8 * nnz + 4 * ROWS
    assert fitted.bytes["interactions"] == LOG.nbytes
    pruned = fit(method="magnitude", validation=0.0).bytes
    assert [pruned[name] for name in ("tables", "gradient", "optimizer")] == [
        fitted.bytes[name] for name in ("tables", "gradient", "optimizer")
    ]
