"""``--item-features`` of ``train`` and ``update``: new items are listed, and what is refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparserec_np import add_items, load_model, load_run, read_interactions
from sparserec_np.data.item_features import read_item_features
from sparserec_np.training.run_directory import read_config
from tests.makers.small import same_bits

GROUPS, USERS, ITEMS, COLD = 4, 80, 60, (0, 7, 14, 21)
QUICK = ("--model", "fism", "--user-rows", "sum", "--start", "spectral", "--dim", "8", "--density", "0.5")
QUICK = (*QUICK, "--epochs", "0", "--validation", "0", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of interactions, of more of them, and of attributes of all items."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(2)
    users = np.repeat(np.arange(USERS), 12)
    items = rng.integers(0, ITEMS // GROUPS, len(users)) * GROUPS + users % GROUPS
    known = ~np.isin(items, COLD)
    for name, some in (("known", known & (users < 70)), ("more", known & (users >= 70))):
        lines = [f"{user},{item}" for user, item in zip(users[some], items[some], strict=True)]
        (folder / f"{name}.csv").write_text("user,item\n" + "\n".join(lines) + "\n")
    attributes = "".join(f"{item}\tgroup {item % GROUPS}\n" for item in range(ITEMS))
    (folder / "attributes.tsv").write_text("item\tattribute\n" + attributes)
    return tuple(str(folder / name) for name in ("known.csv", "more.csv", "attributes.tsv"))


def test_training_lists_items_that_nobody_touched(installed, files, tmp_path):
    words = ("train", files[0], "-o", tmp_path / "run", *QUICK, "--item-features", files[2])
    done = installed(*words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report, model = json.loads(done.stdout), load_model(tmp_path / "run")
    assert report["items_from_attributes"] == len(COLD) and report["nnz"] <= report["budget"]
    assert model.item_ids.tolist() == list(range(ITEMS)) and model.items.nnz == report["nnz"]
    _, data = read_config(str(tmp_path / "run" / "config.json"))
    assert data["item_features"] == files[2]
    listed = installed("recommend", tmp_path / "run", "--user", "4", "-n", "15", "--json")
    assert listed.returncode == 0, listed.stderr
    assert 0 in json.loads(listed.stdout)["items"]


def test_a_configuration_says_where_attributes_are(run, files, tmp_path):
    first = run("train", files[0], "-o", tmp_path / "one", *QUICK, "--item-features", files[2])
    assert first.returncode == 0 and f"{len(COLD)} items without interactions from attributes" in first.stdout
    again = run("train", "-o", tmp_path / "two", "--config", tmp_path / "one" / "config.json")
    assert again.returncode == 0, again.stderr
    assert same_bits(load_model(tmp_path / "one").items, load_model(tmp_path / "two").items)


def test_a_run_gets_them_later_and_with_more_interactions(run, files, tmp_path):
    made = run("train", files[0], "-o", tmp_path / "run", *QUICK)
    assert made.returncode == 0, made.stderr
    alone = run("update", tmp_path / "run", "-o", tmp_path / "alone", "--item-features", files[2])
    assert alone.returncode == 0, alone.stderr
    assert "0 new users, 0 new items, 0 new interactions" in alone.stdout
    wanted = add_items(load_run(tmp_path / "run"), read_item_features(files[2]))
    assert same_bits(load_model(tmp_path / "alone").items, wanted.model.table)
    words = ("update", tmp_path / "run", files[1], "-o", tmp_path / "both", "--item-features", files[2])
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    report, more = json.loads(done.stdout), read_interactions(files[1])
    assert (report["new_users"], report["items_from_attributes"]) == (more.n_users, len(COLD))
    assert report["nnz"] <= report["budget"] == load_run(tmp_path / "run").budget.nnz
    assert load_model(tmp_path / "both").item_ids.tolist() == list(range(ITEMS))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument 'NEW'."),
        (("--item-features", "{2}", "--epochs", "3"), "Without NEW nothing is trained"),
        (("--item-features", "{0}"), "known.csv, line 1: expected item, attribute"),
    ],
)
def test_what_an_update_cannot_do_is_refused(words, said, run, files, tmp_path):
    run("train", files[0], "-o", tmp_path / "run", *QUICK)
    done = run("update", tmp_path / "run", "-o", tmp_path / "after", *(word.format(*files) for word in words))
    assert done.returncode != 0 and said in done.stderr and not (tmp_path / "after" / "config.json").exists()


def test_a_model_that_cannot_have_them_is_refused_before_it_is_trained(run, files, tmp_path):
    words = ("train", files[0], "-o", tmp_path / "run", "--model", "lightgcn", "--item-features", files[2])
    done = run(*words)
    assert done.returncode == 2 and "train a model of mf or fism" in done.stderr
