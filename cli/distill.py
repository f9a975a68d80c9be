"""``sparserec distill``: from a trained model to a small one that ranks like it."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.data.formats import without_core
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.machine.threads import set_kernel_threads
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.model import Model
from sparserec_np.serving.model_file import load_model
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.saving import restore

from .groups import LOSS, GroupedOption
from .memory import memory_limit_option
from .options import data_option, json_option, overwrite_option, weighed_reader_options
from .output import emit_json, table
from .reading import read_log
from .resuming import ResumableCommand
from .run_argument import reading_run
from .settings import setting_options
from .threads import threads_option
from .train import Request, train_run


@click.command(cls=ResumableCommand)
@click.argument("teacher_run", metavar="TEACHER")
@click.argument("train_file", metavar="TRAIN")
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@click.option(
    "--imitation",
    type=float,
    default=1.0,
    show_default=True,
    cls=GroupedOption,
    group=LOSS,
    help="Weight of ranking like the teacher, beside 1 for the data's own loss.",
)
@data_option(
    "--test",
    "test_file",
    metavar="TEST",
    help="Interactions to evaluate both on at the end.",
)
@setting_options("distill")
@overwrite_option
@threads_option
@memory_limit_option
@weighed_reader_options
@json_option
def command(teacher_run: str, imitation: float, test_file: str | None, **options: Any) -> None:
    """Train a sparse matrix factorisation that ranks like the model in TEACHER, and write it to the directory RUN.

    TEACHER is a run directory or the model file in it: a LightGCN, say, whose rows are full once
    they are propagated. The student starts from the teacher's rows, rotated and pruned to the
    budget, and learns from the interactions in TRAIN and from how the teacher ranks the negatives
    of each batch. It is served without the teacher and without a graph. With --test, both are
    evaluated, and the part of NDCG that was kept is shown.

    No part of TRAIN is held out to choose the number of epochs by: the teacher knows it. A training
    that was stopped goes on with --resume RUN.
    """
    master, dim = _master(teacher_run)
    options["dim"] = options["dim"] or dim
    options["validation"] = options["validation"] or "0"
    request = Request.of(options)
    set_kernel_threads(request.threads)
    report = train_run(request, (Teacher(master.factors(), dim, imitation), master.log))
    report["teacher"] = teacher_run
    if test_file is not None:
        set_kernel_threads(request.threads)
        report |= _compared(master, request, test_file)
    if request.as_json:
        emit_json(report)
        return
    if test_file is not None:
        names = ("recall@20", "ndcg@20")
        rows = [[name, report["test_of_teacher"][name], report["test"][name]] for name in names]
        click.echo(table(rows, ["metric", "teacher", "student"]))
        click.echo(f"The student keeps {report['ndcg_kept']:.1%} of the teacher's NDCG@20.")
    click.echo(f"Written to {request.run}. Next: sparserec evaluate {request.run} TEST")


def _master(run: str) -> tuple[Model, int]:
    """Loads the model in ``run``, and tells its number of columns.

    Raises:
        ConfigError: it was counted, and is none to learn from.
    """
    with reading_run(run):
        saved = load_model(run)
        master = restore(saved)
    if BASE_MODELS[saved.metadata["model"]].counted:
        raise ConfigError(
            f"A teacher is a model that was trained, found the model {saved.metadata['model']} in {run}"
        )
    return master, saved.dim


def _compared(master: Model, request: Request, test_file: str) -> dict[str, Any]:
    """Measures the written student and the teacher on a file.

    The result also tells the part of the teacher's NDCG that was kept.

    Of the two NDCG it tells the part that was kept.
    """
    test, _ = read_log(test_file, without_core(request.reader)).aligned_to(master.log)
    student = restore(load_model(request.run))
    theirs, ours = (evaluate(model.ranker(), test, model.log) for model in (master, student))
    kept = ours["ndcg@20"] / theirs["ndcg@20"] if theirs["ndcg@20"] else float("nan")
    return {"test": ours, "test_of_teacher": theirs, "ndcg_kept": kept}
