"""What a run's records tell of its epochs: the curve of the training that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sparserec_np.training.fitted import SELECT_BY, Record


class History(NamedTuple):
    """Points (epoch, figure) of one training.

    Attributes:
        validation: NDCG@20 on the part held out.
        loss: of the training pairs.
    """

    validation: list[tuple[float, float]]
    loss: list[tuple[float, float]]


def kept_history(records: Sequence[Record]) -> History:
    """Returns the curve of the training whose start and learning rate were kept.

    Where several were searched through, it is the one that reached the best NDCG@20. Its loss is
    shown over the same epochs.
    """
    trainings: dict[tuple[str, str, float], list[Record]] = {}
    for record in records:
        key = record.get("phase", ""), record.get("start", ""), record.get("learning_rate", 0.0)
        trainings.setdefault(key, []).append(record)
    if not trainings:
        return History([], [])
    best = max(trainings.values(), key=lambda some: max(record.get(SELECT_BY, -1.0) for record in some))
    return History(
        [(record["epoch"], record[SELECT_BY]) for record in best if SELECT_BY in record],
        [(record["epoch"], record["loss"]) for record in best if record.get("loss") is not None],
    )
