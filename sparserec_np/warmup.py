"""The warm-up of compiled kernels: a tiny run through everything that a real one would call.

Numba compiles a kernel when it is first called with arguments of new types, and keeps the result;
so the way to have the right ones is to do in little what will be done at large.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.serving.model_file import load_model
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.saving import restore
from sparserec_np.training.settings import CHOICES, Config
from sparserec_np.training.train import train


class Warmth(NamedTuple):
    """The record of what :func:`warm_up` has done.

    Attributes:
        kernels: number of kernels that are ready now, each for the types it is called with.
        compiled: how many of them were compiled just now; the others were there.
        seconds: the time it took.
        folder: where they are kept; None where Numba's compiler is switched off.
    """

    kernels: int
    compiled: int
    seconds: float
    folder: str | None


def warm_up(everything: bool = False) -> Warmth:
    """Compiles what training, evaluating and distilling with the defaults call.

    Args:
        everything: also what other models, losses, ways to draw negatives and optimizers call.
    """
    clock = time.perf_counter()
    # More items than a byte tells apart: itemknn has a column for each, which real data number in
    # two.
    kept, test = split_random(generate(60, 300, 900, 5), 0.2, np.random.default_rng(0))
    for config in itertools.chain([Config(epochs=4, batch_size=64)], _others() if everything else ()):
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
    found = list(called_kernels())
    return Warmth(
        kernels=len(found),
        compiled=sum(bool(kernel.stats.cache_misses) for kernel in found),
        seconds=time.perf_counter() - clock,
        folder=kernels.compiled.CACHE_FOLDER.path,
    )


def called_kernels() -> Iterator[Any]:
    """Yields the kernels that this process has called from Python: Numba's functions, none twice.

    What kernels call in turn is compiled into them, and only there to be seen when they are not
    read from the cache.
    """
    for name in kernels.COMPILED_FILES:
        place = getattr(kernels, name)
        for kernel in vars(place).values():
            if not getattr(kernel, "signatures", None) or kernel.__module__ != place.__name__:
                continue
            if kernel.stats.cache_path and not kernel.__name__.startswith("_"):
                yield kernel


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
