"""The curve of the training that was kept, among all that a search made."""

from __future__ import annotations

from sparserec_np.comparison.histories import kept_history


def record(phase: str, rate: float, epoch: int, loss: float | None, ndcg: float | None = None) -> dict:
    found = {"phase": phase, "start": "spectral", "learning_rate": rate, "epoch": epoch, "loss": loss}
    return found if ndcg is None else found | {"ndcg@20": ndcg}


def test_the_training_that_reached_most_is_kept() -> None:
    records = [
        *(record("search", 0.1, 0, None, 0.1), record("search", 0.1, 1, 5.0, 0.2)),
        *(
            record("search", 0.01, 0, None, 0.1),
            record("search", 0.01, 1, 4.0),
            record("search", 0.01, 2, 3.0, 0.3),
        ),
        *(record("refit", 0.01, 0, None), record("refit", 0.01, 1, 4.5)),
    ]
    history = kept_history(records)
    assert history.validation == [(0, 0.1), (2, 0.3)] and history.loss == [(1, 4.0), (2, 3.0)]


def test_without_records_there_is_no_curve() -> None:
    assert kept_history([]) == ([], [])
    assert kept_history([record("train", 0.1, 1, 2.0)]) == ([], [(1, 2.0)])
