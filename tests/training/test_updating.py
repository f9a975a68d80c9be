"""Updating: a trained model learns on within its budget, in the same bits for any threads; what cannot is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np import Config, DataError, load_run, save_run, train, update
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.starts.condensed import Condensed
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.plan import budget_of
from sparserec_np.training.updating import CHANGEABLE, update_settings
from tests.makers.small import needs_compiler, same_bits, small_log

DIM = 8
QUICK = Config(
    dim=DIM,
    density=0.3,
    epochs=3,
    batch_size=256,
    negatives=32,
    learning_rate=0.01,
    evaluate_every=1,
    validation=0.0,
)


def parted(log: Interactions, seed: int = 0, part: float = 0.2) -> tuple[Interactions, Interactions]:
    """What is between the known users and the known items, and the rest, which has new users and new items."""
    rng = np.random.default_rng(seed)
    users, items = log.pair_users(), log.items
    known = (rng.random(log.n_users) >= part)[users] & (rng.random(log.n_items) >= part)[items]
    parts = (
        Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
        for some in (known, ~known)
    )
    one, other = parts
    return one, other


LOG = small_log(80, 60, 1500)
KNOWN, NEW = parted(LOG)


@pytest.fixture(scope="module")
def former() -> Fitted:
    return train(KNOWN, QUICK, threads=1)


def entries(log: Interactions, config: Config = QUICK) -> int:
    return budget_of(log, config).nnz


@pytest.mark.parametrize("method", ["sparserec", "rigl", "set", "static", "magnitude"])
def test_the_budget_of_before_holds_at_every_topology_update(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = train(KNOWN, replace(QUICK, method=method), threads=1)
    plain, seen = TopologyUpdate.__call__, []

    def checked(self: TopologyUpdate, table: Any, *rest: Any) -> Any:
        before, changed = table.nnz, plain(self, table, *rest)
        table.validate(DIM)
        seen.append((before, table.nnz, changed))
        return changed

    monkeypatch.setattr(TopologyUpdate, "__call__", checked)
    records: list[dict[str, Any]] = []
    made = update(former, NEW, threads=1, on_epoch=records.append, drop_fraction=0.3, drop_until=1.0)
    most = entries(KNOWN)
    assert all(before == after == most for before, after, _ in seen)
    assert bool(seen) == METHODS[method].growth.grows and any(changed for *_, changed in seen) == bool(seen)
    assert {record["nnz"] for record in records} == {most}
    assert all(record["rows_without_entries"] == 0 for record in records)
    assert made.budget.nnz == made.model.table.nnz == most == former.budget.nnz
    assert made.model.table.rows == LOG.n_users + LOG.n_items
    made.model.table.validate(DIM)


def test_a_budget_in_bytes_pays_for_new_rows_and_their_ids() -> None:
    config = replace(QUICK, memory_budget=5_000)
    named = Interactions.from_pairs(
        [f"user {user}" for user in KNOWN.user_ids[KNOWN.pair_users()]], KNOWN.item_ids[KNOWN.items]
    )
    more = Interactions.from_pairs(
        [f"somebody with a long name {user}" for user in NEW.user_ids[NEW.pair_users()]],
        NEW.item_ids[NEW.items],
    )
    former = train(named, config, threads=1)
    made = update(former, more, threads=1)
    assert made.budget.total_bytes <= 5_000 and made.budget.id_bytes > former.budget.id_bytes
    assert made.model.table.nnz == made.budget.nnz < former.budget.nnz
    assert made.config.memory_budget == 5_000


def test_a_budget_in_entries_stays() -> None:
    former = train(KNOWN, replace(QUICK, entries=200), threads=1)
    made = update(former, NEW, threads=1, epochs=1)
    assert former.budget.nnz == made.budget.nnz == made.model.table.nnz == 200
    assert (made.config.entries, made.config.density) == (200, QUICK.density)
    again = update(made, Interactions.from_pairs(["somebody"] * 2, LOG.item_ids[:2]), threads=1, epochs=1)
    assert again.budget.nnz == 200 and again.model.table.rows > made.model.table.rows


def test_all_interactions_are_known_afterwards_and_repeated_ones_are_merged(former: Fitted) -> None:
    again = KNOWN.subset(np.arange(KNOWN.n_interactions) < 50).joined(NEW)
    made = update(former, again, threads=1, epochs=1)
    assert made.log.digest() == LOG.digest()
    assert same_bits(made.model.table, update(former, NEW, threads=1, epochs=1).model.table)


@needs_compiler
def test_the_same_bits_for_any_number_of_threads(former: Fitted) -> None:
    one, two = (update(former, NEW, threads=threads) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert one.best_epoch == two.best_epoch


@pytest.mark.parametrize("settings", [{}, {"similarity": "cosine", "temperature": 0.2}], ids=str)
def test_a_saved_run_goes_on_as_the_model_in_memory(settings: dict[str, Any], tmp_path: Path) -> None:
    former = train(KNOWN, replace(QUICK, **settings), threads=1)
    save_run(tmp_path / "run", former, KNOWN)
    loaded = load_run(tmp_path / "run")
    assert loaded.history == former.history and loaded.config == former.config.resolved()
    one, other = (update(fitted, NEW, threads=1) for fitted in (former, loaded))
    assert same_bits(one.model.table, other.model.table)
    assert one.config == other.config


def test_what_is_learnt_is_near_training_anew_and_above_what_was_known() -> None:
    log = small_log(400, 250, 12_000)
    kept, test = split_random(log, 0.2, np.random.default_rng(0))
    known, new = parted(kept)
    settings = replace(QUICK, density=0.4, epochs=10, validation=0.1)
    former = train(known, settings, threads=1)
    made = update(former, new, threads=1)
    anew = train(kept, replace(settings, density=made.budget.density), threads=1)
    assert anew.budget.nnz == made.budget.nnz
    reached, wanted = (evaluate(some.model.ranker(), test, kept)["ndcg@20"] for some in (made, anew))
    assert reached > 0.9 * wanted
    strangers = ~np.isin(kept.user_ids, known.user_ids)
    theirs = test.subset(strangers[test.pair_users()])
    assert (
        evaluate(made.model.ranker(), theirs, kept)["ndcg@20"]
        > 0.8 * evaluate(anew.model.ranker(), theirs, kept)["ndcg@20"]
    )


@pytest.mark.parametrize("start", ["spectral", "condensed"])
def test_rows_are_condensed_again_where_they_were_at_the_start(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    again = Condensed.again

    def listening(self: Condensed, table: SparseTable, *more: Any) -> SparseTable:
        calls.append(table.nnz)
        return again(self, table, *more)

    monkeypatch.setattr(Condensed, "again", listening)
    made = update(train(KNOWN, replace(QUICK, start=start), threads=1), NEW, threads=1, epochs=0)
    assert set(calls) == ({made.budget.nnz} if start == "condensed" else set())
    assert made.model.table.nnz == made.budget.nnz == entries(KNOWN)


def test_only_what_is_new_is_held_out(former: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Interactions] = []

    def listening(model: Any, test: Interactions, seen: Interactions) -> dict[str, float]:
        held.append(test)
        assert test.shared_with(seen) == 0
        return evaluate(model, test, seen)

    monkeypatch.setattr("sparserec_np.training.loop.evaluate", listening)
    update(former, NEW, threads=1, validation=None, epochs=1)
    known, _ = KNOWN.aligned_to(LOG)
    assert len(held) == 2 and all(some.n_interactions and some.shared_with(known) == 0 for some in held)


def test_where_nobody_has_any_to_spare_all_epochs_are_trained(former: Fitted) -> None:
    pair = Interactions.from_pairs([10_001], [KNOWN.item_ids[0]])
    made = update(former, pair, threads=1, epochs=2)
    assert [record["phase"] for record in made.history] == ["train"] * 3 and made.best_epoch == 2
    assert made.log.user_ids[-1] == 10_001


def test_a_few_interactions_are_held_out_or_trained_on_by_chance(former: Fitted) -> None:
    """Of three items, a tenth is one or none. Either will do; what must not be is that two draws disagree."""
    few = Interactions.from_pairs([10_001] * 3, KNOWN.item_ids[:3])
    phases = set()
    for seed in range(12):
        made = update(former, few, threads=1, epochs=1, seed=seed)
        phases.add(tuple(record["phase"] for record in made.history if record["epoch"] == 0))
    assert phases == {("train",), ("search", "refit")}


def test_new_users_of_new_items_alone_do_no_harm(former: Fitted) -> None:
    strangers = Interactions.from_pairs([10_001, 10_001, 10_002], [20_001, 20_002, 20_001])
    made = update(former, strangers, threads=1)
    assert np.isfinite(made.model.table.values).all() and made.model.table.nnz <= former.budget.nnz
    assert np.diff(made.model.table.indptr).min() >= 1


def test_numbers_and_text_may_meet() -> None:
    former = train(KNOWN, QUICK, threads=1)
    made = update(former, Interactions.from_pairs(["7", "zoe", "zoe"], [3, 3, 4]), threads=1, epochs=1)
    assert made.log.user_ids.dtype.kind == "U" and "zoe" in made.log.user_ids
    assert made.log.n_users == KNOWN.n_users + 1 + ("7" not in KNOWN.user_ids.astype(str))


def test_a_validation_part_may_be_given(former: Fitted) -> None:
    kept, held = split_random(NEW, 0.3, np.random.default_rng(0))
    made = update(former, kept, validation=held, threads=1, epochs=2)
    assert {record["phase"] for record in made.history} == {"search"}
    assert all("ndcg@20" in record for record in made.history)


def test_an_updated_run_is_updated_again(former: Fitted) -> None:
    halves = [NEW.subset(np.arange(NEW.n_interactions) % 2 == half) for half in (0, 1)]
    made = former
    for half in halves:
        made = update(made, half, threads=1, epochs=1)
        assert made.budget.nnz == entries(KNOWN)
    assert made.log.digest() == LOG.digest()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "lightgcn"}, "stored rows of the model lightgcn .* update an mf model"),
        ({"model": "neumf"}, "stored rows of the model neumf .* train it anew"),
        (
            {"model": "fism"},
            "The model fism stores no users, and rows of new items cannot be solved for from its own: train it anew,"
            " or update an mf model",
        ),
        ({"method": "dense-small"}, "dense-small fills 2 columns, .* room for 1 only"),
    ],
)
def test_models_that_cannot_learn_on_are_refused(settings: dict[str, Any], said: str) -> None:
    former = train(KNOWN, replace(QUICK, epochs=1, **settings), threads=1)
    with pytest.raises(ConfigError, match=said):
        update(former, NEW, threads=1)


def test_more_columns_than_rows_are_solved_in_are_refused() -> None:
    former = train(KNOWN, replace(QUICK, dim=4097, density=0.001, start="uniform", epochs=0), threads=1)
    with pytest.raises(ConfigError, match="at most 4,096 columns, and the model has 4,097: train it anew"):
        update(former, NEW, threads=1)


def test_a_baseline_is_counted_again() -> None:
    with pytest.raises(ConfigError, match="popularity is counted, not trained: count it again"):
        update(train(KNOWN, Config(model="popularity")), NEW)


def test_nothing_new_is_refused(former: Fitted) -> None:
    with pytest.raises(DataError, match="knows all .* nothing to learn"):
        update(former, KNOWN)
    with pytest.raises(DataError, match="Expected Interactions, found 'new.csv'; use read_interactions"):
        update(former, "new.csv")  # type: ignore[arg-type]


def test_settings_of_the_model_are_kept(former: Fitted) -> None:
    with pytest.raises(ConfigError, match="dim belongs to the model"):
        update(former, NEW, dim=16)
    fields = set(Config().to_dict())
    assert set(CHANGEABLE) <= fields
    config = update_settings(former, LOG)
    assert (config.learning_rate, config.epochs) == (0.003, 5)
    some = NEW.subset(np.arange(NEW.n_interactions) % 2 == 0)
    once = update(former, some, threads=1, epochs=0)
    again = update_settings(once, LOG)
    assert (again.learning_rate, again.epochs) == (0.003, 5)  # the second update is no slower than the first
    for name in fields - set(CHANGEABLE) - {"density"}:
        assert getattr(config, name) == getattr(former.config.resolved(), name)


def test_a_run_that_cannot_be_read_is_refused(tmp_path: Path, former: Fitted) -> None:
    with pytest.raises(SparseRecError, match="no run directory"):
        load_run(tmp_path)
    save_run(tmp_path / "run", former, KNOWN)
    others = Interactions.from_pairs(["a"], ["b"])
    with pytest.raises(DataError, match="None of the interactions"):
        load_run(tmp_path / "run", known=others)


def test_the_density_written_gives_the_same_budget_again(former: Fitted) -> None:
    for rows in range(3, 400):
        density = former.budget.nnz / (rows * 64)
        if density <= 1:
            assert Budget.of_density(rows, 64, density).nnz == former.budget.nnz
