"""Items that nobody touched: the split, the attributes of movies.dat, and all of it on a small log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import CHECKOUT
from benchmarks.studies.cold_items import attributes_in, split_of, written
from sparserec_np import Interactions, write_interactions
from tests.makers.small import needs_compiler, small_log

GROUPS = 4


def test_some_items_are_held_out_wholly_and_some_interactions_of_others() -> None:
    log = small_log()
    split = split_of(log, 0.25, 0)
    assert split.held_out.sum() == 10
    parts = [split.train, split.warm, split.cold]
    assert sum(part.n_interactions for part in parts) == log.n_interactions
    assert not split.held_out[split.train.items].any() and split.held_out[split.cold.items].all()
    assert 0 < split.warm.n_interactions < 0.2 * split.train.n_interactions
    assert not np.array_equal(split.held_out, split_of(log, 0.25, 1).held_out)


def test_genres_and_decades_are_read_of_movies(tmp_path: Path) -> None:
    text = "1::Toy Story (1995)::Animation|Comedy\n5::Caf\xe9 (1999)::Drama\n"
    (tmp_path / "movies.dat").write_bytes(text.encode("latin-1"))
    genres, both = (attributes_in(str(tmp_path / "movies.dat"), decades) for decades in (False, True))
    assert genres.names.tolist() == ["Animation", "Comedy", "Drama"] and genres.item_ids.tolist() == [1, 5]
    assert both.names.tolist() == ["1990s", "Animation", "Comedy", "Drama"]
    (tmp_path / "some.tsv").write_text("1\tdrama\n")
    assert attributes_in(str(tmp_path / "some.tsv"), False).names.tolist() == ["drama"]


def test_the_tables_hold_means_over_draws() -> None:
    one = {f"{part} {name}": 0.1 for part in ("both", "warm", "cold") for name in ("ndcg@20", "recall@20")}
    other = dict.fromkeys(one, 0.3)
    among = {"mf, no rows": [one | {"listed": 0.0}, other | {"listed": 0.05}]}
    text = written({"alone": {"at random": [0.1, 0.3]}, "among": among})
    assert "| at random | 0.2000 (0.1000 to 0.3000) |" in text
    assert "| mf, no rows | " + " | ".join(["0.2000"] * 6) + " | 2.5 % |" in text


@needs_compiler
def test_rows_of_attributes_find_what_nobody_touched(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 15)
    items = rng.integers(0, 20, len(users)) * GROUPS + np.where(
        rng.random(len(users)) < 0.9, users % GROUPS, 0
    )
    write_interactions(Interactions.from_pairs(users, items), tmp_path / "log.csv")
    (tmp_path / "some.tsv").write_text("".join(f"{item}\t{item % GROUPS}\n" for item in range(20 * GROUPS)))
    words = [str(tmp_path / "log.csv"), "--attributes", str(tmp_path / "some.tsv"), "--draws", "1"]
    words += [
        "--models",
        "fism-ridge",
        "--part",
        "0.2",
        "--name",
        "Some",
        "--page",
        str(tmp_path / "page.md"),
    ]
    command = [sys.executable, "-m", "benchmarks.studies.cold_items", *words, "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    alone = {name: scores[0] for name, scores in found["alone"].items()}
    ours = alone["by rows of attributes: fism-ridge"]
    assert ours > 1.4 * alone["by popularity, of which they have none: at random"]
    assert ours > alone["by the popularity that their attributes have"]
    none = found["among"]["fism-ridge, no rows"][0]
    made = found["among"]["fism-ridge, trained with attributes"][0]
    assert none["cold recall@20"] == none["listed"] == 0 < min(made["cold recall@20"], made["listed"])
    assert (
        (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# Items that nobody touched: Some\n")
    )
