"""``sparserec distill``: from a trained model to a small one that ranks like it."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.errors import ConfigError

from .options import json_option, reader_options
from .output import emit_json, table
from .run_argument import reading_run
from .threads import set_threads, threads_option
from .train import setting_options, train_run


@click.command(short_help="Train a small model that ranks like a trained one.")
@click.argument("teacher_run", metavar="TEACHER")
@click.argument("train_file", metavar="TRAIN")
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@click.option(
    "--imitation",
    type=float,
    default=1.0,
    show_default=True,
    help="Weight of ranking like the teacher, beside 1 for the data's own loss.",
)
@click.option("--test", "test_file", metavar="TEST", help="Interactions to evaluate both on at the end.")
@setting_options
@click.option(
    "--validation",
    metavar="FILE",
    help="Interactions to choose the epoch by, which TEACHER was not trained on; without them all epochs are trained.",
)
@threads_option
@reader_options
@json_option
def command(
    teacher_run: str,
    train_file: str,
    run: str,
    imitation: float,
    test_file: str | None,
    validation: str | None,
    threads: int | None,
    reader: dict[str, Any],
    as_json: bool,
    **given: Any,
) -> None:
    """Train a sparse matrix factorisation that ranks like the model in TEACHER, and write it to the directory RUN.

    TEACHER is a run directory or the model file in it: a LightGCN, say, whose rows are full once they are propagated.
    The student starts from the teacher's rows, rotated and pruned to the budget, and learns from the interactions in
    TRAIN and from how the teacher ranks the negatives of each batch. It is served without the teacher and without a
    graph. With --test, both are evaluated, and the part of NDCG that was kept is shown.

    No part of TRAIN is held out to choose the number of epochs by: the teacher knows it.
    """
    from sparserec_np.data.formats import read_interactions
    from sparserec_np.evaluation.evaluate import evaluate
    from sparserec_np.models.base_models import BASE_MODELS
    from sparserec_np.serving.model_file import load_model
    from sparserec_np.starts.teacher import Teacher
    from sparserec_np.training.saving import restore

    if given.get("model") not in (None, "mf"):
        raise ConfigError(
            f"A student is a matrix factorisation, found the model {given['model']}; leave it out"
        )
    with reading_run(teacher_run):
        saved = load_model(teacher_run)
        master = restore(saved)
    if BASE_MODELS[saved.metadata["model"]].counted:
        raise ConfigError(
            f"A teacher is a model that was trained, found the model {saved.metadata['model']} in {teacher_run}"
        )
    if given.get("dim") is None:
        given["dim"] = saved.dim
    given = {name: value for name, value in given.items() if value is not None}
    set_threads(threads)
    teacher = Teacher(master.factors(), saved.dim, imitation)
    report = train_run(
        train_file, run, validation or "0", None, threads, reader, as_json, given, (teacher, master.log)
    )
    report["teacher"] = teacher_run
    if test_file is not None:
        test, _ = read_interactions(test_file, **reader).aligned_to(master.log)
        set_threads(threads)
        theirs, ours = (
            evaluate(model.ranker(), test, model.log) for model in (master, restore(load_model(run)))
        )
        kept = ours["ndcg@20"] / theirs["ndcg@20"] if theirs["ndcg@20"] else float("nan")
        report |= {"test": ours, "test_of_teacher": theirs, "ndcg_kept": kept}
    if as_json:
        emit_json(report)
        return
    if test_file is not None:
        rows = [[name, theirs[name], ours[name]] for name in ("recall@20", "ndcg@20")]
        click.echo(table(rows, ["metric", "teacher", "student"]))
        click.echo(f"The student keeps {kept:.1%} of the teacher's NDCG@20.")
    click.echo(f"Written to {run}. Next: sparserec evaluate {run} TEST")
