"""The pass in which clients measure lists of a model by what they have kept back."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.federated.packets import WHOLE, Kind, Question
from sparserec_np.federated.server import Learned, Sums, fitted_of
from sparserec_np.serving.packing import pack
from sparserec_np.training.saving import served_model
from sparserec_np.training.settings import Config


@dataclass(frozen=True)
class Measure:
    """The last pass: each client ranks what it kept back, and sends how well it was found.

    Attributes:
        config: of the model.
        length: of lists.
        name: of the pass.
    """

    config: Config
    length: int = 20
    name: str = "measure"
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Sends the model, as an int8 file whose items are their numbers."""
        nobody = Interactions.from_codes([], [], np.empty(0, np.int64), np.arange(learned.n_items))
        artifact = pack(served_model(fitted_of(learned, self.config, nobody), nobody), "int8")
        content = io.BytesIO()
        write_artifact(content, artifact.arrays, artifact.metadata)
        return Question(
            Kind.RANK, 0, learned.n_items, lands=False, list_length=self.length, model=content.getvalue()
        )

    def take(self, learned: Learned, sums: Sums) -> None:
        """Keeps the mean recall and NDCG of those who had something to find."""
        users, recall, ndcg = sums.measured.tolist()
        if users:
            figures = {"recall": recall / users / WHOLE, "ndcg": ndcg / users / WHOLE}
            learned.measured = {f"{name}@{self.length}": value for name, value in figures.items()}
            learned.measured["users"] = users
