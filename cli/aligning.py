"""Alignment of one file's interactions to the users and items of another, or its refusal."""

from __future__ import annotations

from sparserec_np.data.interactions import Counts, Interactions
from sparserec_np.errors import DataError

from .output import examples


def align(
    given: Interactions, known: Interactions, file: str, owner: str, advice: str = "."
) -> tuple[Interactions, Counts]:
    """Moves ``given`` to the ids of ``known``, and counts what of it is unknown there.

    Args:
        given: read from ``file``.
        known: interactions of ``owner``: another file, the model, the teacher.
        advice: end of the sentence that refuses a file of which nothing is left.

    Raises:
        DataError: no interaction is between a user and an item that are known.
    """
    placed, unknown = given.aligned_to(known)
    if not placed.n_interactions:
        raise DataError(
            f"No interaction in {file} is between a user and an item of {owner}: expected user ids"
            f" {examples(known.user_ids)} and item ids {examples(known.item_ids)},"
            f" found {examples(given.user_ids)} and {examples(given.item_ids)}{advice}"
        )
    return placed, unknown
