"""The state of a training between two epochs: arrays and plain values by name, and the way back from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.training.state import Training


class Snapshot(NamedTuple):
    """What a file can hold of a model or of a training.

    Attributes:
        arrays: name -> array; those of a training at hand, not copied.
        facts: name -> what JSON can say.
    """

    arrays: dict[str, Array]
    facts: dict[str, Any]


def under(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Puts a name before those of arrays: ``name.array``."""
    return {f"{name}.{each}": array for each, array in arrays.items()}


def within(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Finds the arrays that :func:`under` has put a name before, without it."""
    return {each[len(name) + 1 :]: array for each, array in arrays.items() if each.startswith(f"{name}.")}


def table_in(arrays: Mapping[str, Array]) -> SparseTable:
    """Makes a table of its three arrays, copied."""
    return SparseTable(*(arrays[name].copy() for name in SparseTable._fields))


def of_training(training: Training) -> dict[str, Array]:
    """Names the arrays that an epoch changes."""
    model, state = training.model, training.state
    return {
        **under("table", model.table._asdict()),
        **under("optimizer", state.optimizer.state()),
        **under("explored", training.explored._asdict()),
        "weights": model.weights,
        "origin": state.origin,
        "norms": training.norms,
        "waiting": training.waiting.view(np.uint8),
    }


def give_back(training: Training, arrays: Mapping[str, Array]) -> None:
    """Puts the arrays of :func:`of_training` back; the table has its own already."""
    model, state = training.model, training.state
    model.weights[:] = arrays["weights"]
    state.optimizer.load(within("optimizer", arrays))
    state.take_origin(arrays["origin"].copy())
    explored = within("explored", arrays)
    training.explored = Explored(*(explored[name].copy() for name in Explored._fields))
    training.norms[:] = arrays["norms"]
    training.waiting[:] = arrays["waiting"].view(bool)


def states_of(generators: Iterable[np.random.Generator]) -> list[dict[str, Any]]:
    """Says where random numbers stand."""
    return [dict(generator.bit_generator.state) for generator in generators]


def set_states(generators: Iterable[np.random.Generator], states: list[dict[str, Any]]) -> None:
    """Lets random numbers go on from where they stood."""
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state
