"""The option ``--item-features``: attributes of items that nobody may have touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.item_features import ItemFeatures, read_item_features
from sparserec_np.training.checkpoints import digest_of
from sparserec_np.training.cold_items import with_items

from .options import data_option
from .output import counted

item_features_option = data_option(
    "--item-features",
    metavar="FILE",
    help="Attributes of items, as lines item<TAB>attribute[<TAB>weight]: those without interactions get rows of"
    " them (mf and fism).",
)


@dataclass(frozen=True)
class Bare:
    """The items that have attributes, and those among them that have no interactions.

    Attributes:
        features: what the file holds.
    """

    features: ItemFeatures

    @classmethod
    def of(cls, file: str | None) -> Bare | None:
        """Reads a file, where there is one."""
        return None if file is None else cls(read_item_features(file))

    def facts(self) -> dict[str, str]:
        """Says what they are, for a checkpoint."""
        features = self.features
        matrix = {name: getattr(features.matrix, name) for name in ("indptr", "indices", "data")}
        return {"item features": digest_of({"items": features.item_ids, "names": features.names, **matrix})}

    def whole(self, log: Interactions) -> Interactions:
        """Returns the interactions over all items."""
        return with_items(log, self.features)

    def counts(self, log: Interactions) -> dict[str, int]:
        """Counts the items without interactions, for the report."""
        return {"items_from_attributes": int(np.count_nonzero(self.whole(log).item_degrees == 0))}

    def said(self, log: Interactions) -> str:
        """Says how many they are, as the end of a line."""
        count = self.counts(log)["items_from_attributes"]
        return f"; {counted(count, 'item')} without interactions from attributes"
