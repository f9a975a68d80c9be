"""``sparserec quickstart``: the whole path on generated data, with nothing to bring."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import click

from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.baselines import popularity
from sparserec_np.models.table_ranker import table_ranker
from sparserec_np.runtime import Recommender
from sparserec_np.training.run_directory import RunDirectory
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

from .compiling import compiled_in_two_processes
from .epochs import epoch_progress, recorded
from .interrupts import held_interrupts
from .options import json_option
from .output import emit_json, human_bytes, table
from .threads import threads_option


@click.command()
@click.option(
    "-o", "--output", "run", metavar="RUN", help="Keep the run in this directory; by default it is deleted."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all random numbers."
)
@threads_option
@json_option
def command(run: str | None, seed: int, threads: int | None, as_json: bool) -> None:
    """Generate data, train on them, evaluate and recommend: a minute from nothing to a list of items.

    The data are made up: latent groups of users with a taste in common, and items of very unequal
    popularity. The model stores a tenth of the entries of a full one.
    """
    report = _report(run, seed, threads)
    if as_json:
        emit_json(report)
        return
    size = f"{report['users']:,} users, {report['items']:,} items and {report['interactions']:,} interactions"
    click.echo(f"Generated {size}; a fifth of them is the test part.")
    rows = [
        ["Recall@20 on the test part", report["recall@20"]],
        ["the same by popularity alone", report["popularity_recall@20"]],
        ["NDCG@20", report["ndcg@20"]],
        ["served tables", human_bytes(report["bytes"])],
        ["a full table of the same size", human_bytes(report["dense_bytes"])],
        [f"best new items for user {report['user']}", " ".join(map(str, report["recommended"]))],
        ["seconds", round(report["seconds"], 1)],
    ]
    click.echo(table(rows))
    click.echo("Next, with your own file: sparserec train FILE -o RUN --density 0.1")


def _report(run: str | None, seed: int, threads: int | None) -> dict[str, Any]:
    """Goes the whole path, and reports how good the model is, what it weighs and one list."""
    # Heavy, and not wanted for --help.
    import numpy as np

    clock = time.perf_counter()
    log = generate(seed=seed)
    kept, test = split_random(log, 0.2, np.random.default_rng(seed))
    # One start and one rate: kernels of other starts take as long again to compile.
    config = Config(dim=64, density=0.1, start="spectral", epochs=20, learning_rate=0.01, seed=seed)
    with compiled_in_two_processes(), tempfile.TemporaryDirectory() as scratch:
        with RunDirectory(run or os.path.join(scratch, "run")) as directory:
            with recorded(directory, epoch_progress(config.epochs)) as on_epoch:
                fitted = train(kept, config, threads=threads, on_epoch=on_epoch)
            with held_interrupts():
                directory.finish(fitted, kept)
        if fitted.interrupted:
            if run:
                click.echo(f"The best state so far (epoch {fitted.best_epoch}) is saved in {run}.", err=True)
            raise KeyboardInterrupt
        metrics = evaluate(fitted.model.ranker(), test, kept)
        recommender = Recommender.open(directory.path)
        user = int(kept.user_ids[int(np.argmax(kept.user_degrees))])
        listed = recommender.recommend(user, 5)
        inspected = recommender.inspect()
    full = 4 * inspected["dim"] * (inspected["users"] + inspected["items"])
    counted, columns = popularity(kept)
    popular = evaluate(table_ranker(counted, kept.n_users, columns), test, kept)
    return {
        "users": log.n_users,
        "items": log.n_items,
        "interactions": log.n_interactions,
        "recall@20": metrics["recall@20"],
        "ndcg@20": metrics["ndcg@20"],
        "popularity_recall@20": popular["recall@20"],
        "nnz": inspected["nnz"],
        "bytes": inspected["bytes"]["total"],
        "dense_bytes": full,
        "user": user,
        "recommended": listed.items,
        "seconds": time.perf_counter() - clock,
        "run": run,
    }
