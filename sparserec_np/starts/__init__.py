"""The starts of training, by name in :data:`STARTS`.

A start decides which entries are active, and what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from sparserec_np.starts.als import LeastSquares
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.items import (
    CondensedItems,
    FittedItems,
    ItemStart,
    LeastSquaresItems,
    SpectralItems,
    UniformItems,
)
from sparserec_np.starts.neighbours import NeighbourItems
from sparserec_np.starts.nmf import NMF
from sparserec_np.starts.spectral import Spectral
from sparserec_np.starts.start import Start
from sparserec_np.starts.uniform import Uniform

STARTS: dict[str, Start] = {
    "spectral": Spectral(),
    "als": LeastSquares(),
    "condensed": Condensed(),
    "nmf": NMF(),
    "uniform": Uniform(),
}
# Of models that do not store users; by the same names where there is the like for both.
ITEM_STARTS: dict[str, ItemStart] = {
    "spectral": SpectralItems(),
    "fitted": FittedItems(),
    "als": LeastSquaresItems(),
    "condensed": CondensedItems(),
    "neighbours": NeighbourItems(),
    "plain-neighbours": NeighbourItems(first=SpectralItems()),
    "uniform": UniformItems(),
}


def starts_of(stores_users: bool) -> Mapping[str, Start]:
    """Finds the starts, by name, of models that store users, or that do not."""
    return STARTS if stores_users else ITEM_STARTS
