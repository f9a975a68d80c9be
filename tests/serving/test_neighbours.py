"""A model of sums with neighbours beside them, from training to a file, an export and a device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import main
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.runtime import ArtifactError, Recommender, decode_model
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.serving.packing import pack, write_export
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import load_run, save_run
from sparserec_np.training.saving import restore, served_model
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from sparserec_np.training.updating import update
from tests.makers.served_models import make_fism_model

LOG = generate(n_users=90, n_items=70, n_interactions=1500, groups=4, seed=4)
CONFIG = Config(model="fism", start="neighbours", dim=80, entries=900, validation=0.0, epochs=0)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return train(LOG, CONFIG, threads=1)


def test_it_stores_its_budget(fitted: Fitted) -> None:
    assert fitted.model.table.nnz == 900
    assert fitted.model.dim == 80 + LOG.n_items
    assert fitted.config.resolved().user_rows == "neighbours"
    assert served_model(fitted, LOG).metadata["item_columns"] == "70"


@pytest.mark.parametrize("items", [70, 300])
def test_the_budget_of_bytes_counts_wide_columns_and_is_kept(items: int, tmp_path: Path) -> None:
    """Beside 32 columns, 300 items need column numbers of two bytes."""
    log = generate(n_users=90, n_items=items, n_interactions=1500, groups=4, seed=4)
    config = Config(model="fism", start="neighbours", dim=32, memory_budget=9_000, validation=0.0)
    fitted = train(log, config, threads=1)
    model, budget = served_model(fitted, log), fitted.budget
    width = 1 if items + 32 <= 256 else 2
    assert budget.entry_bytes == 4 + width == 4 + model.items.columns.itemsize
    assert budget.total_bytes + model.weights.nbytes <= 9_000 < budget.total_bytes + model.weights.nbytes + 6
    save_run(tmp_path / "run", fitted, log)
    assert load_run(tmp_path / "run").budget == budget


def test_lists_and_scores_are_those_of_the_formula(fitted: Fitted, tmp_path: Path) -> None:
    """The sum of the touched rows, and what each touched item says of its neighbours, and they of it."""
    model = served_model(fitted, LOG)
    save_model(tmp_path / "m.safetensors", model)
    factors = LOG.item_degrees ** -float(model.metadata["mark_power"])
    device = Recommender.open(tmp_path / "m.safetensors")
    dense = fitted.model.table.to_dense(150).astype(np.float64)
    for user in range(LOG.n_users):
        own = LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]
        sums = (dense[own, :80] / LOG.item_degrees[own, None]).sum(0)
        kept = np.argsort(-np.abs(sums), kind="stable")[:64]
        pairs = dense[:, 80:] + dense[:, 80:].T
        expected = dense[:, kept] @ sums[kept] + pairs[:, own] @ factors[own]
        scores = device.score(LOG.user_ids[user].item(), LOG.item_ids.tolist())
        np.testing.assert_allclose(scores, expected, rtol=2e-4, atol=1e-5)


def test_a_restored_model_ranks_as_it_did_and_as_the_device_does(fitted: Fitted, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", served_model(fitted, LOG))
    users = np.arange(LOG.n_users, dtype=np.int32)
    items, scores = fitted.model.ranker().rank(users, 10, LOG)
    again = restore(load_model(tmp_path / "m.safetensors")).ranker().rank(users, 10, LOG)
    np.testing.assert_array_equal(items, again[0])
    np.testing.assert_array_equal(scores, again[1])
    device = Recommender.open(tmp_path / "m.safetensors")
    for user in range(LOG.n_users):
        listed = device.recommend(LOG.user_ids[user].item(), 10)
        assert listed.items == LOG.item_ids[items[user]].tolist()
        own = LOG.item_ids[LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]]
        assert device.recommend_for_items(own.tolist(), 10) == listed


def test_an_export_without_users_is_whole(fitted: Fitted, tmp_path: Path) -> None:
    model = served_model(fitted, LOG)
    write_export(tmp_path / "small.safetensors", pack(without_seen(model), "int8"))
    write_export(tmp_path / "large.safetensors", pack(keep_users(model, np.arange(5)), "float32"))
    own = LOG.item_ids[LOG.items[: LOG.indptr[1]]].tolist()
    one, two = (
        set(Recommender.open(tmp_path / name).recommend_for_items(own, 20).items)
        for name in ("small.safetensors", "large.safetensors")
    )
    assert len(one & two) >= 18


def test_columns_of_items_share_a_scale(fitted: Fitted) -> None:
    packed = pack(served_model(fitted, LOG), "int8")
    scales = packed.arrays["items.scales"]
    table = fitted.model.table
    assert scales.shape == (81,)
    behind = table.columns >= 80
    assert scales[-1] == np.float32(np.abs(table.values[behind]).max()) / np.float32(127)
    read = decode_model(packed).items
    values = read.values * read.scales[read.columns]
    np.testing.assert_allclose(values[behind], table.values[behind], atol=scales[-1] * 0.51)
    for wrong in (scales[:-1], np.append(scales, 0)):
        damaged = packed._replace(arrays={**packed.arrays, "items.scales": wrong.astype(np.float32)})
        with pytest.raises(ArtifactError, match="items.scales holds 8[02] numbers, expected 81"):
            decode_model(damaged)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("count", [1, 10, 69, 70])
def test_some_items_alone_give_the_lists_of_the_whole_over_them(
    fitted: Fitted, count: int, dtype: str
) -> None:
    model = served_model(fitted, LOG)
    kept = np.sort(np.random.default_rng(count).permutation(70)[:count])
    part, whole = Recommender(pack(keep_items(model, kept), dtype)), Recommender(pack(model, dtype))
    assert part.inspect()["nnz"] <= whole.inspect()["nnz"]
    names = LOG.item_ids[kept].tolist()
    for liked in (names[:1], names[-5:], names):
        found, expected = (one.recommend_for_items(liked, 70, items=names) for one in (part, whole))
        assert len(found.items) == len(expected.items)
        np.testing.assert_allclose(
            found.scores, expected.scores, rtol=1e-5, atol=0.2 if dtype == "int8" else 1e-5
        )
    again = keep_items(keep_items(model, kept), np.arange(min(5, count)))
    assert Recommender(pack(again, dtype)).recommend_for_items(names[:1], 70).scores == pytest.approx(
        Recommender(pack(keep_items(model, kept[:5]), dtype)).recommend_for_items(names[:1], 70).scores
    )


@pytest.mark.parametrize("said", ["69", "150", "many"])
def test_a_file_whose_columns_are_no_items_is_refused(fitted: Fitted, said: str, tmp_path: Path) -> None:
    model = served_model(fitted, LOG)
    model.metadata["item_columns"] = said
    with pytest.raises(ArtifactError, match="item_columns"):
        save_model(tmp_path / "m.safetensors", model)
        Recommender.open(tmp_path / "m.safetensors")


@pytest.mark.parametrize("said", ["-0", "7", "999", "many", "\u0663"])
def test_what_a_file_of_plain_sums_says_of_items_columns_is_not_read(said: str) -> None:
    model = make_fism_model(5, seed=3)
    expected = Recommender(pack(model, "int8"))
    model.metadata["item_columns"] = said
    for stored in (model.encode(), pack(model, "int8"), pack(keep_items(model, np.arange(50)), "int8")):
        found = Recommender(stored)
        assert found.recommend_for_items([1, 2, 3]).items == expected.recommend_for_items([1, 2, 3]).items


def test_an_update_makes_the_start_of_all_interactions() -> None:
    kept, new = split_random(LOG, 0.3, np.random.default_rng(2))
    grown = update(train(kept, CONFIG, threads=1), new, threads=1)
    whole = train(LOG, CONFIG, threads=1)
    assert grown.model.table.nnz == 900
    assert all(
        one.tobytes() == two.tobytes() for one, two in zip(grown.model.table, whole.model.table, strict=True)
    )


def test_neighbours_beat_rows_at_random_of_as_many_entries() -> None:
    kept, held_out = split_random(LOG, 0.3, np.random.default_rng(1))
    ranked = (
        train(kept, replace(CONFIG, start=start, epochs=0), threads=1).model.ranker()
        for start in ("neighbours", "uniform")
    )
    ours, theirs = (evaluate(ranker, held_out, kept)["ndcg@20"] for ranker in ranked)
    assert ours > 1.2 * theirs


def test_some_items_are_exported_on_the_command_line(fitted: Fitted, tmp_path: Path) -> None:
    save_run(tmp_path / "run", fitted, LOG)
    (tmp_path / "ids").write_text("".join(f"{one}\n" for one in LOG.item_ids[5:40]))
    words = ["export", str(tmp_path / "run"), "-o", str(tmp_path / "small"), "--items", str(tmp_path / "ids")]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["items"] == 35 and json.loads(done.stdout)["overlap@20"] > 0.8
    assert Recommender.open(tmp_path / "small").recommend_for_items(LOG.item_ids[5:9].tolist(), 5).items
