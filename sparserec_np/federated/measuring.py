"""The pass in which clients measure lists of a model by what they have kept back."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.federated.packets import WHOLE, Kind, Question
from sparserec_np.federated.server import Learned, Sums, fitted_of
from sparserec_np.serving.packing import pack
from sparserec_np.training.saving import served_model
from sparserec_np.training.settings import Config

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of recency, as `train` looks at


@dataclass(frozen=True)
class Measure:
    """The last pass: each client ranks what it kept back, and sends how well it was found.

    Attributes:
        config: of the model.
        length: of lists.
        recency: how much more later items count in users' rows; None for as the settings say.
    """

    config: Config
    length: int = 20
    recency: float | None = None
    part: float = 1.0

    @property
    def name(self) -> str:
        """A word for the pass."""
        return f"measure, recency {self.recency:g}" if self.recency else "measure"

    def ask(self, learned: Learned) -> Question:
        """Sends the model, as an int8 file whose items are their numbers."""
        nobody = Interactions.from_codes([], [], np.empty(0, np.int64), np.arange(learned.n_items))
        config = self.config if self.recency is None else replace(self.config, recency=self.recency)
        artifact = pack(served_model(fitted_of(learned, config, nobody), nobody), "int8")
        content = io.BytesIO()
        write_artifact(content, artifact.arrays, artifact.metadata)
        return Question(
            Kind.RANK, 0, learned.n_items, lands=False, list_length=self.length, model=content.getvalue()
        )

    def take(self, learned: Learned, sums: Sums) -> None:
        """Keeps the mean recall and NDCG of those who had something to find, if these are the best so far."""
        users, recall, ndcg = sums.measured.tolist()
        best = f"ndcg@{self.length}"
        if not users or ndcg / users / WHOLE <= learned.measured.get(best, -1.0):
            return
        learned.measured = {f"recall@{self.length}": recall / users / WHOLE, best: ndcg / users / WHOLE}
        learned.measured["users"] = users
        if self.recency is not None:
            learned.measured["recency"] = self.recency


def measures(config: Config, ordered: bool) -> list[Measure]:
    """Plans the passes that measure: where clients know an order of time, one for each power of recency.

    Args:
        config: of the model; with a recency of its own there is nothing to choose.
        ordered: whether clients know in which order they touched their items.
    """
    if not ordered or config.recency is not None or config.user_rows != "sum":
        return [Measure(config)]
    return [Measure(config, recency=power) for power in POWERS]
