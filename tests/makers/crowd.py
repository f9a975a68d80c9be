"""Many threads and processes that use one fitted model at once: ``python -m tests.makers.crowd WAY``.

It prints whether everybody got what one alone gets. It is a program, because what is looked for
ends the process, or keeps it waiting for ever.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from sparserec_np import SparseRec, generate
from sparserec_np.machine.threads import threads_are_gone

LOG = generate(120, 60, 1800, groups=4, seed=1)
MORE = generate(120, 60, 400, groups=4, seed=2)
LEARNT_LATER = MORE.subset(np.arange(MORE.n_interactions) % 2 == 0)  # so that some are left to measure by
SETTINGS: dict[str, Any] = {"dim": 8, "density": 0.5, "epochs": 1, "learning_rate": 0.01, "start": "spectral"}
MODELS = {
    "mf": {"model": "mf"},
    "fism": {"model": "fism"},
    "lightgcn": {"model": "lightgcn"},
    "neumf": {"model": "neumf", "start": "uniform"},
}


def fitted(name: str = "mf") -> SparseRec:
    return SparseRec(**{**SETTINGS, **MODELS[name]}).fit(LOG)


def answers(model: SparseRec) -> list[Any]:
    """Everything a fitted model can be asked, as plain numbers."""
    one, several = model.recommend(LOG.user_ids[3], n=5), model.recommend(LOG.user_ids, n=7)
    compares = model.get_params()["model"] in ("mf", "fism")
    near = model.similar_items(LOG.item_ids[:3], n=4) if compares else ()
    return [array.tolist() for array in (*one, *several, *near)] + [model.score(MORE)]


def learnt(number: int) -> list[Any]:
    """What a model learns that is fitted here, and learns on."""
    model = fitted()
    first = answers(model)
    return [first, answers(model.partial_fit(LEARNT_LATER, epochs=1))]


def in_threads(work: Callable[[int], Any], count: int = 8) -> list[Any]:
    """What threads return that begin at the same moment."""
    gate = threading.Barrier(count)

    def begin(number: int) -> Any:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def forked() -> Any:
    return multiprocessing.get_context("fork")


def pool(count: int = 4) -> Executor:
    return ProcessPoolExecutor(count, mp_context=forked())


MODEL: SparseRec | None = None


def asked(number: int) -> list[Any]:
    """What the model answers that was fitted before the process was forked."""
    assert MODEL is not None
    return answers(MODEL)


def asked_in_threads(number: int) -> list[Any]:
    return [threads_are_gone(), *in_threads(asked, 3)]


def unpickled(model: SparseRec) -> list[Any]:
    return answers(model)


def threads_ask() -> bool:
    """Whether the first question of several threads to models of every kind, and the next, are answered."""
    global MODEL
    for name in MODELS:
        expected = answers(fitted(name))
        MODEL = fitted(name)
        if any(found != expected for _ in range(3) for found in in_threads(asked)):
            return False
    return True


def threads_learn() -> bool:
    expected = learnt(0)
    return all(found == expected for found in in_threads(learnt, 4))


def processes_ask() -> bool:
    """Whether forked processes and pools answer, and threads in them."""
    global MODEL
    for name in MODELS:
        MODEL = fitted(name)
        expected = answers(MODEL)
        with pool() as several:
            if any(found != expected for found in several.map(asked, range(8))):
                return False
    with forked().Pool(2) as two:
        return all(found == [True, *[expected] * 3] for found in two.map(asked_in_threads, range(2)))


def processes_learn() -> bool:
    expected = learnt(0)
    with pool(2) as several:
        return all(found == expected for found in several.map(learnt, range(2)))


def copies_ask() -> bool:
    """Whether a pickled copy answers in a process that began anew."""
    model = fitted()
    expected = answers(model)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as several:
        return all(found == expected for found in several.map(unpickled, [model, model]))


def tasks_ask() -> bool:
    """Whether tasks of asyncio get lists, in the loop and in its threads."""
    model = fitted()
    expected = answers(model)

    async def all_at_once() -> list[Any]:
        async def here() -> list[Any]:
            return answers(model)

        there = [asyncio.to_thread(answers, model) for _ in range(6)]
        return await asyncio.gather(here(), *there)

    return all(found == expected for found in asyncio.run(all_at_once()))


def forks_amid_work() -> bool:
    """Whether children answer that are forked while other threads compile, and are in kernels."""
    global MODEL
    MODEL = fitted()
    expected = answers(MODEL)
    busy = True

    def work() -> None:
        while busy:
            numba.njit(lambda x: x + 1)(1)
            answers(MODEL)  # type: ignore[arg-type]

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    right = []
    for _ in range(5):
        child = os.fork()
        if not child:
            numba.njit(lambda x: x + 2)(1)
            os._exit(0 if answers(MODEL) == expected else 7)
        right.append(os.waitpid(child, 0)[1] == 0)
    busy = False
    for thread in threads:
        thread.join()
    return all(right)


WAYS = [
    threads_ask,
    threads_learn,
    processes_ask,
    processes_learn,
    copies_ask,
    tasks_ask,
    forks_amid_work,
]

if __name__ == "__main__":
    (way,) = (one for one in WAYS if one.__name__ == sys.argv[1])
    sys.stdout.write(json.dumps([way(), numba.threading_layer()]) + "\n")
