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
from sparserec_np.factorization.item_rows import RowPenalties
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import empty_users, save_model
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.starts.condensed import Condensed
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.plan import budget_of
from sparserec_np.training.saving import served_model
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
    changes = {"drop_fraction": 0.3, "drop_until": 1.0, "swap_margin": 0.0}  # so that the mask does change
    made = update(former, NEW, threads=1, on_epoch=records.append, **changes)
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

    monkeypatch.setattr("sparserec_np.training.loop.evaluate_accuracy", listening)
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
        ({"model": "lightgcn"}, "stored rows of the model lightgcn .* update a model of mf or fism"),
        ({"model": "neumf"}, "stored rows of the model neumf .* train it anew"),
        ({"method": "dense-small"}, "dense-small fills 2 columns, .* room for 1 only"),
        (
            {"model": "fism", "method": "dense-small", "density": 0.26},
            "dense-small fills 2 columns, .* room for 1 only",
        ),
    ],
)
def test_models_that_cannot_learn_on_are_refused(settings: dict[str, Any], said: str) -> None:
    former = train(KNOWN, replace(QUICK, epochs=1, **settings), threads=1)
    with pytest.raises(ConfigError, match=said):
        update(former, NEW, threads=1)


# ---- models that store items alone

ITEMS_ALONE = replace(QUICK, model="fism", dim=24, density=0.2, negatives=16)
AT_START = replace(ITEMS_ALONE, epochs=0)
OF_KNOWN_ITEMS = NEW.subset(np.isin(NEW.item_ids, KNOWN.item_ids)[NEW.items])
OF_KNOWN_ITEMS = Interactions.from_pairs(
    OF_KNOWN_ITEMS.user_ids[OF_KNOWN_ITEMS.pair_users()], OF_KNOWN_ITEMS.item_ids[OF_KNOWN_ITEMS.items]
)


@pytest.fixture(scope="module", params=[AT_START, ITEMS_ALONE], ids=["at its start", "trained"])
def alone(request: pytest.FixtureRequest) -> Fitted:
    return train(KNOWN, request.param, threads=1)


def listed(model: Recommender, user: object, n: int = 20) -> tuple[list[object], list[float]]:
    found = model.recommend(user, n)
    return list(found.items), list(found.scores)


def test_new_interactions_of_known_items_change_no_row(alone: Fitted) -> None:
    made = update(alone, OF_KNOWN_ITEMS, threads=1)
    assert OF_KNOWN_ITEMS.n_interactions and made.log.n_users > KNOWN.n_users
    assert same_bits(made.model.table, alone.model.table)
    assert made.budget.nnz == alone.budget.nnz and made.best_epoch == 0 and len(made.history) == 1
    assert made.log.digest() == KNOWN.joined(OF_KNOWN_ITEMS).digest()


def test_lists_are_those_of_a_file_with_the_interactions_merged(alone: Fitted, tmp_path: Path) -> None:
    made, log = update(alone, OF_KNOWN_ITEMS, threads=1), KNOWN.joined(OF_KNOWN_ITEMS)
    save_run(tmp_path / "run", made, made.log)
    before = served_model(alone, KNOWN)
    degrees = log.item_degrees.clip(1)
    merged = replace(
        before,
        users=empty_users(log.n_users, before.dim),
        user_ids=log.user_ids,
        seen_indptr=log.indptr,
        seen_items=log.items,
        weights=(before.weights * (KNOWN.item_degrees.clip(1) / degrees)).astype(np.float32),
    )
    save_model(tmp_path / "merged.safetensors", merged)
    ours, theirs = Recommender.open(tmp_path / "run"), Recommender.open(tmp_path / "merged.safetensors")
    for user in log.user_ids[:: log.n_users // 20]:
        assert listed(ours, user.item()) == listed(theirs, user.item())


def test_new_items_share_the_entries_and_are_recommended(alone: Fitted, tmp_path: Path) -> None:
    made = update(alone, NEW, threads=1)
    assert made.model.table.nnz == made.budget.nnz == alone.budget.nnz
    made.model.table.validate(24)
    new = ~np.isin(LOG.item_ids, KNOWN.item_ids)
    assert np.diff(made.model.table.indptr)[new].all()
    before, after = alone.model.table.to_dense(24), made.model.table.to_dense(24)[~new]
    np.testing.assert_array_equal(after[after != 0], before[after != 0])
    save_run(tmp_path / "run", made, made.log)
    served = Recommender.open(tmp_path / "run")
    items = {item for user in LOG.user_ids for item in listed(served, user.item())[0]}
    assert items & set(LOG.item_ids[new].tolist())


def test_an_update_of_an_update_and_of_a_loaded_run(alone: Fitted, tmp_path: Path) -> None:
    halves = [NEW.subset(np.arange(NEW.n_interactions) % 2 == half) for half in (0, 1)]
    made = alone
    for number, half in enumerate(halves):
        save_run(tmp_path / str(number), made, made.log)
        loaded = update(load_run(tmp_path / str(number)), half, threads=1)
        made = update(made, half, threads=1)
        assert same_bits(made.model.table, loaded.model.table)
        assert made.model.served_weights.tobytes() == loaded.model.served_weights.tobytes()
        assert made.budget.nnz == alone.budget.nnz
    assert made.log.digest() == LOG.digest()


@needs_compiler
@pytest.mark.parametrize("changes", [{}, {"epochs": 2}], ids=str)
def test_items_alone_are_the_same_bits_for_any_number_of_threads(
    alone: Fitted, changes: dict[str, Any]
) -> None:
    one, two = (update(alone, NEW, threads=threads, **changes) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert one.model.served_weights.tobytes() == two.model.served_weights.tobytes()


def test_epochs_train_on_from_there(alone: Fitted) -> None:
    start = update(alone, NEW, threads=1)
    records: list[dict[str, Any]] = []
    made = update(alone, NEW, threads=1, epochs=3, on_epoch=records.append)
    assert {record["phase"] for record in records} == {"search", "refit"}  # some of what is new chooses
    assert {record["nnz"] for record in records} == {alone.budget.nnz}
    all_of_it = update(alone, NEW, threads=1, epochs=3, validation=0)
    assert all_of_it.best_epoch == 3 and all_of_it.model.table.nnz == alone.budget.nnz
    assert not same_bits(all_of_it.model.table, start.model.table)
    assert [record["epoch"] for record in all_of_it.history] == [0, 1, 2, 3]
    assert made.config.epochs == 3 and start.config.epochs == 0


def test_what_is_solved_for_is_near_training_anew() -> None:
    log = small_log(400, 250, 12_000)
    kept, test = split_random(log, 0.2, np.random.default_rng(0))
    known, new = parted(kept, part=0.1)
    former = train(known, AT_START, threads=1)
    made = update(former, new, threads=1)
    anew = train(kept, replace(AT_START, density=made.budget.density), threads=1)
    assert anew.budget.nnz == made.budget.nnz
    reached, wanted = (evaluate(some.model.ranker(), test, kept)["ndcg@20"] for some in (made, anew))
    assert reached > 0.9 * wanted
    fresh = test.subset(~np.isin(kept.item_ids, known.item_ids)[test.items])
    theirs, ours = (evaluate(some.model.ranker(), fresh, kept)["ndcg@20"] for some in (anew, made))
    assert ours > 0.8 * theirs


def test_bytes_pay_for_new_items_and_users() -> None:
    config = replace(AT_START, memory_budget=8_000)
    named, more = (
        Interactions.from_pairs(
            [f"{name} {user}" for user in log.user_ids[log.pair_users()]], log.item_ids[log.items]
        )
        for name, log in (("user", KNOWN), ("somebody with a long name", NEW))
    )
    former = train(named, config, threads=1)
    made = update(former, more, threads=1)
    assert made.budget.total_bytes + made.model.weights.nbytes <= 8_000
    assert made.model.table.nnz == made.budget.nnz < former.budget.nnz


def test_a_full_table_stays_full_where_the_method_says_so() -> None:
    made = update(train(KNOWN, replace(AT_START, method="dense"), threads=1), NEW, threads=1)
    assert made.model.table.nnz == made.budget.nnz == LOG.n_items * 24


def test_what_means_nothing_without_users_is_refused(alone: Fitted) -> None:
    with pytest.raises(ConfigError, match="l2_user has no meaning for the model fism"):
        update(alone, NEW, threads=1, l2_user=0.1)


def test_wide_rows_are_kept_and_not_solved_for() -> None:
    former = train(KNOWN, replace(AT_START, dim=4097, density=0.001, start="uniform"), threads=1)
    assert same_bits(update(former, OF_KNOWN_ITEMS, threads=1).model.table, former.model.table)
    with pytest.raises(ConfigError, match="at most 4,096 columns, and the model has 4,097: train it anew"):
        update(former, NEW, threads=1)


# ---- models whose users are solved for

SOLVED = replace(AT_START, user_rows="ridge", start="als", untouched_weight=0.3)


@pytest.mark.parametrize("changes", [{}, {"epochs": 2}], ids=str)
def test_where_users_are_solved_for_items_stay_and_new_ones_join(changes: dict[str, Any]) -> None:
    former = train(KNOWN, SOLVED, threads=1)
    same = update(former, OF_KNOWN_ITEMS, threads=1, **changes)
    assert same_bits(same.model.table, former.model.table)
    one, two = (update(former, NEW, threads=threads, **changes) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert (one.best_epoch, one.config.epochs, len(one.history)) == (0, 0, 1)
    assert one.model.table.nnz == one.budget.nnz == former.budget.nnz
    new = ~np.isin(LOG.item_ids, KNOWN.item_ids)
    assert np.diff(one.model.table.indptr)[new].any()
    before, after = former.model.table.to_dense(24), one.model.table.to_dense(24)[~new]
    np.testing.assert_array_equal(after[after != 0], before[after != 0])


def test_users_are_solved_for_with_the_same_weights_after_saving(tmp_path: Path) -> None:
    former = train(KNOWN, SOLVED, threads=1)
    save_run(tmp_path / "run", former, former.log)
    made = update(load_run(tmp_path / "run"), NEW, threads=1)
    assert same_bits(made.model.table, update(former, NEW, threads=1).model.table)
    save_run(tmp_path / "more", made, made.log)
    assert load_run(tmp_path / "more").config.resolved().row_penalties == RowPenalties(0.3, 1.0)


# ---- what is refused


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
        update(former, "new.csv")


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
