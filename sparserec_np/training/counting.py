"""Counting a baseline: what a model that is not trained makes of the interactions, measured."""

from __future__ import annotations

import time

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.evaluate import evaluate_accuracy
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.serving.model_file import id_bytes
from sparserec_np.sparsity.budget import Budget
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record, Report
from sparserec_np.training.plan import model_over
from sparserec_np.training.settings import Config


def count(
    log: Interactions, kept: Interactions, held_out: Interactions | None, config: Config, report: Report
) -> Fitted:
    """Counts a baseline in what is not held out, to measure it, then in all interactions.

    Args:
        log: all interactions.
        kept: those of them that are not held out.
        held_out: to measure by; None where nothing is.
        config: settings, of a model that is counted.
        report: is called with the record of each count.
    """
    settings = config.resolved()
    first = _counted(kept, held_out, settings, "train" if held_out is None else "search")
    first.bytes["interactions"] = log.nbytes
    report(first.history[0])
    if kept is log or not settings.refit:
        return first
    whole = _counted(log, None, settings, "refit")
    report(whole.history[0])
    whole.history = first.history + whole.history
    return whole


def baseline(log: Interactions, name: str) -> Fitted:
    """Counts a baseline, by its name and with its usual settings, in all of ``log``.

    Raises:
        DataError: there are more items than it can count.
    """
    return count(log, log, None, Config(model=name), lambda record: None)


def _counted(log: Interactions, held_out: Interactions | None, settings: Config, phase: str) -> Fitted:
    clock = time.perf_counter()
    base = BASE_MODELS[settings.model]
    table, dim = base.count(log, **{name: getattr(settings, name) for name in base.settings})
    model = model_over(settings, table, dim, log)
    budget = Budget(table.rows, dim, table.nnz, id_bytes(log.user_ids, log.item_ids))
    empty = int(np.count_nonzero(np.diff(table.indptr) == 0))
    record: Record = {"epoch": 0, "seconds": time.perf_counter() - clock, "loss": None, "phase": phase}
    record |= {"nnz": table.nnz, "rows_without_entries": empty}
    if held_out is not None:
        measured = evaluate_accuracy(model.ranker(), held_out, log)
        record |= {name: measured[name] for name in ("recall@20", SELECT_BY)}
    held = {"interactions": log.nbytes, "tables": table.nbytes, "workspaces": model.workspace_bytes}
    return Fitted(model, log, budget, settings, [record], 0, False, held)
