"""The warm-up of compiled kernels: a tiny run through everything that a real one would call.

Numba compiles a kernel when it is first called with arguments of new types, and keeps the result;
so the way to have the right ones is to do in little what will be done at large.

As a program, ``python -m sparserec_np.warmup`` compiles what a first training calls, its last
kernels first, while another process has begun with the first ones.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.kernels.compiling import progress
from sparserec_np.kernels.sharing import sharing_at_once
from sparserec_np.learning.losses import Scores
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.model import Gradients
from sparserec_np.serving.model_file import load_model
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.asked import free_to_choose
from sparserec_np.training.choosing import choose
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.loop import begin
from sparserec_np.training.order import BatchOrder
from sparserec_np.training.plan import Plan
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.saving import restore
from sparserec_np.training.settings import CHOICES, Config
from sparserec_np.training.starting import make_start
from sparserec_np.training.train import train

# What a training may be asked for, or choose, without rows of users: settings, and a number of
# items. Columns of 64 are stored in a byte each, those of 512 in two. Of 20,000 items all are
# scored, to rank them by so few entries.
CHOSEN: tuple[tuple[dict[str, Any], int], ...] = (
    ({}, 300),
    ({"model": "fism", "user_rows": "neighbours", "dim": 64}, 300),
    ({"model": "fism", "user_rows": "neighbours", "dim": 512}, 20_000),
    ({"model": "fism", "user_rows": "sum", "dim": 64}, 300),
    ({"model": "fism", "user_rows": "sum", "dim": 512}, 300),
    ({"model": "fism", "user_rows": "sum", "dim": 512}, 20_000),
)


class Warmth(NamedTuple):
    """The record of what :func:`warm_up` has done.

    Attributes:
        kernels: number of kernels that are ready now, each for the types it is called with.
        compiled: how many of them were compiled just now; the others were there.
        seconds: the time it took.
        costs: seconds of processor time that each kernel which was compiled now took, by name,
            those of all types together, the longest first.
        folder: where they are kept; None where Numba's compiler is switched off.
    """

    kernels: int
    compiled: int
    seconds: float
    costs: dict[str, float]
    folder: str | None


def warm_up(everything: bool = False) -> Warmth:
    """Compiles what training, evaluating and distilling with the defaults call.

    Args:
        everything: also what other models, losses, ways to draw negatives and optimizers call.
    """
    clock, before = time.perf_counter(), len(progress.compiled)
    with sharing_at_once():
        _run(Config(epochs=4, batch_size=64))
        for given, items in CHOSEN:
            _choose({**given, "entries": 3000, "batch_size": 64}, items)
        for config in _others() if everything else ():
            _run(config)
    found = list(called_kernels())
    costs: dict[str, float] = {}
    for name, seconds in progress.compiled[before:]:
        costs[name] = costs.get(name, 0.0) + seconds
    return Warmth(
        kernels=len(found),
        compiled=sum(bool(kernel.stats.cache_misses) for kernel in found),
        seconds=time.perf_counter() - clock,
        costs=dict(sorted(costs.items(), key=lambda pair: -pair[1])),
        folder=kernels.compiled.CACHE_FOLDER.path,
    )


def _run(config: Config) -> None:
    """Trains a tiny model, evaluates it, and distills it where it can be a teacher."""
    kept, test = _data()
    fitted = train(kept, config)
    with tempfile.TemporaryDirectory() as scratch:
        run = os.path.join(scratch, "run")
        save_run(run, fitted, kept)
        master = restore(load_model(run))
        evaluate(master.ranker(), test, kept)
        if BASE_MODELS[config.model].scores_are_products and not BASE_MODELS[config.model].counted:
            teacher = Teacher(master.factors(), master.dim, 1.0)
            train(
                kept,
                Config(dim=master.dim, epochs=2, batch_size=64, validation=0),
                source=FromTeacher(teacher),
            )
        del master  # it reads the file that goes now


def _choose(given: dict[str, Any], items: int) -> None:
    """Chooses what is not given, as a training would that is given nothing else, and trains it."""
    kept, test = _data(items)
    config = Config(**given)
    choice = choose(kept, config, free_to_choose(given, config, kept))
    fitted = train(kept, replace(choice.config, epochs=2))
    evaluate(fitted.model.ranker(), test, kept)


def _data(items: int = 300) -> tuple[Interactions, Interactions]:
    # More items than a byte tells apart: itemknn has a column for each, which real data number in
    # two.
    return split_random(generate(60, items, 900, 5), 0.2, np.random.default_rng(0))


def compile_backwards() -> None:
    """Compiles what a first training by default calls, its last kernels first.

    The topology update, the step of the optimizer, gradients, slopes, and scores: each is called
    once, with numbers of no meaning.
    """
    log, rng = _data()[0], np.random.default_rng(0)
    plan = Plan.of(Config(start="uniform", learning_rate=0.01), log)
    training = begin(log, plan, make_start(log, plan, threads=1)._replace(from_data=True))
    model, state = training.model, training.state
    order = plan.order(log, len(model.weights))
    assert isinstance(order, BatchOrder)
    training.explore(np.arange(model.table.rows, dtype=np.int32))
    training.explored.sums[:] = rng.standard_normal(training.explored.sums.shape)
    plan.topology(model.table, plan.growth, training.explored, 0.1, state, rng)
    batch = next(iter(order.sampler.epoch(rng)))
    gradient = np.zeros(model.table.nnz, np.float32)
    state.optimizer.step(model.table, model.touched(batch), gradient, 0.01)
    groups, shared = len(batch.users.rows), len(batch.negatives)
    scores = Scores(
        np.zeros(batch.size, np.float32), np.zeros((groups, shared), np.float32), np.ones(groups, np.int32)
    )
    model.backward(batch, scores, training.decay, Gradients(gradient, training.explored, model.weights))
    order.loss.slopes(batch, scores)
    model.forward(batch)


def called_kernels() -> Iterator[Any]:
    """Yields the kernels that this process has called from Python: Numba's functions, none twice.

    A kernel for all threads and its form for one are two. What kernels call in turn is compiled
    into them.
    """
    for name in kernels.COMPILED_FILES:
        place = getattr(kernels, name)
        for kernel in vars(place).values():
            for form in getattr(kernel, "forms", [kernel]):
                if not getattr(form, "signatures", None) or form.__module__ != place.__name__:
                    continue
                if form.stats.cache_path:  # others are parts of those that call them
                    yield form


def _others() -> Iterator[Config]:
    """Yields settings that lead through the kernels which the defaults do not call."""
    short: dict[str, Any] = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01}
    for model, loss, negatives in itertools.product(CHOICES["model"], CHOICES["loss"], (None, 1)):
        if BASE_MODELS[model].counted:
            continue
        try:
            yield Config(model=model, loss=loss, negatives=negatives, **short)
        except ConfigError:  # a loss that this model does not go with
            continue
    for model, base in BASE_MODELS.items():
        if base.counted:
            yield Config(model=model)
    yield Config(model="fism", user_rows="ridge")
    for optimizer in CHOICES["optimizer"]:
        yield Config(optimizer=optimizer, importance="gradient", embedding_dropout=0.1, **short)
    yield Config(similarity="cosine", **short)
    for optimizer in ("adagrad", "sgd"):
        for loss, negatives in (("softmax", None), ("bpr", 1)):
            yield Config(order="cells", loss=loss, negatives=negatives, optimizer=optimizer, **short)


if __name__ == "__main__":
    compile_backwards()
