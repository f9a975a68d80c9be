"""How good the lists are after how many seconds from reading the file.

Test data draw the curves and choose nothing: all settings are written down beforehand, and every
run goes on to its end. Looking at the test part is not counted, nor are the import of modules and
the loading of compiled kernels.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import sparserec_np
from benchmarks.data import as_matrix
from benchmarks.figures import number, prose, table
from benchmarks.peers import als, dense_ranker
from benchmarks.side_by_side import ours
from benchmarks.side_by_side.contender import IMPLICIT, OURS, Contender, Record, Setting

TITLE = "Quality over time"
REPEAT = (1, 1)
PEER = "implicit, ALS, 64 factors, regularization 20, alpha 40"


def of_ours(settings: ours.Settings, setting: Setting) -> Record:
    """NDCG@20 after the start and after every epoch, or as many as the settings say."""
    ours.load_kernels(settings)
    test = sparserec_np.read_interactions(setting.test)
    clock = time.perf_counter()
    log = sparserec_np.read_interactions(setting.train)
    seconds = time.perf_counter() - clock
    test, _ = test.aligned_to(log)
    epochs = min(settings["epochs"], setting.pick(1000, 4))
    # Given as the validation part, the test part is looked at between epochs; with patience 0
    # nothing depends on it.
    fixed = {"start": "spectral", "learning_rate": 0.01, "evaluate_every": 1, "patience": 0, "refit": False}
    config = sparserec_np.Config(**(fixed | settings | {"epochs": epochs}))
    fitted = sparserec_np.train(log, config, validation=test, threads=setting.threads)
    points = []
    for record in fitted.history:
        seconds += record["seconds"]
        if "ndcg@20" in record:
            points.append([seconds, record["ndcg@20"]])
    return {"points": points}


def of_implicit(make: Any, looks: tuple[int, ...], setting: Setting) -> Record:
    """NDCG@20 after as many iterations of a model of implicit's as ``looks`` says, of which the last is the end."""
    from threadpoolctl import threadpool_limits

    ours.load_kernels({"epochs": 0})
    test = sparserec_np.read_interactions(setting.test)
    clock = time.perf_counter()
    log = sparserec_np.read_interactions(setting.train)
    matrix = as_matrix(log)
    seconds = time.perf_counter() - clock
    test, _ = test.aligned_to(log)
    points: list[list[float]] = []
    model = make(setting.pick(looks[-1], 4), setting.threads)
    looked = 0.0
    clock = time.perf_counter()

    def look(iteration: int, *_: Any) -> None:
        nonlocal looked
        begin = time.perf_counter()
        if iteration + 1 in looks or setting.quick:
            ranker = dense_ranker(model.user_factors, model.item_factors)
            reached = sparserec_np.evaluate(ranker, test, log)["ndcg@20"]
            points.append([seconds + begin - clock - looked, reached])
        looked += time.perf_counter() - begin

    # Its threads share out the rows; BLAS threads beneath them would only get in the way, as
    # implicit warns.
    with threadpool_limits(1, user_api="blas"):
        model.fit(matrix, show_progress=False, callback=look)
    return {"points": points}


def bpr(rate: float, iterations: int, threads: int) -> Any:
    """BPR with a learning rate; all else by default."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return BayesianPersonalizedRanking(
        factors=64, learning_rate=rate, iterations=iterations, num_threads=threads, random_state=0
    )


IMPORTS = (*OURS, "sparserec_np.evaluation.evaluate")
CONTENDERS = {
    **{
        name: Contender(partial(of_ours, settings), IMPORTS, ours=True)
        for name, settings in ours.QUALITY.items()
    },
    PEER: Contender(
        partial(of_implicit, partial(als, 64), (1, 2, 3, 5, 8, 11, 15)),
        (*IMPORTS, *IMPLICIT),
        needs="implicit",
    ),
    **{
        f"implicit, BPR, 64 factors, learning rate {rate}": Contender(
            partial(of_implicit, partial(bpr, rate), (5, 10, 20, 50, 100)),
            (*IMPORTS, *IMPLICIT),
            needs="implicit",
        )
        for rate in (0.01, 0.05)
    },
}


def seconds_to(points: list[list[float]], goal: float) -> float | None:
    """Seconds until a curve of [seconds, quality] first reaches ``goal``; None if it never does.

    >>> seconds_to([[1.0, 0.1], [2.0, 0.2]], 0.15)
    2.0
    """
    return next((seconds for seconds, reached in points if reached >= goal), None)


def section(runs: dict[str, list[Record]]) -> str:
    """A row for each curve."""
    rows = []
    goal = runs[PEER][0]["points"][-1][1] if PEER in runs else None
    for name, records in runs.items():
        points = records[0]["points"]
        to_peer = seconds_to(points, goal) if goal is not None else None
        ends = [number(points[0][0]), f"{points[0][1]:.4f}", number(points[-1][0]), f"{points[-1][1]:.4f}"]
        rows.append([name, *ends, number(to_peer)])
    head = [
        "way",
        "first point, s",
        "N@20",
        "last point, s",
        "N@20",
        "s to implicit's ALS",
    ]
    words = (
        "NDCG@20 on the test part over seconds from reading the file, the look at the test part not counted. The test"
        " part only draws the curves: settings are fixed beforehand and every run goes on to its end. One run each; the"
        " last column is when a curve first reaches the last point of implicit's ALS."
    )
    return prose(words) + "\n\n" + table(head, rows)
