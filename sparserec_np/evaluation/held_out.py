"""Measuring held-out interactions of the right people: users who are known, or who are folded in."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import HIDDEN_PART, split_random
from sparserec_np.errors import DataError
from sparserec_np.evaluation.evaluate import evaluate_accuracy
from sparserec_np.evaluation.folded_in import FoldedIn
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.runtime import Recommender

MEASURE = "ndcg@20"


def measure_held_out(
    ranker: Ranker,
    recommender: Callable[[], Recommender],
    held_out: Interactions,
    known: Interactions,
    rng: np.random.Generator,
) -> float:
    """Computes NDCG@20 of all users on held-out interactions.

    Users who had nothing in training are left out, unless they are the most: whole users were held
    out then. They are folded in from a part of theirs, and ranked for the rest.

    Args:
        ranker: the model, over the users and items of ``known``.
        recommender: makes the model that folds users in.
        held_out: over any users and items.
        known: what the model was trained on.
        rng: chooses what each unknown user is folded in from.

    Raises:
        DataError: there is nothing to measure.
        ArtifactError: a model that folds nobody in, where most users are unknown.
    """
    test, _ = held_out.aligned_to(known)
    strangers, n_known = _strangers(held_out, known)
    n_strangers = int(np.count_nonzero(strangers.user_degrees))
    if not n_strangers + n_known:
        raise DataError("None of the held-out interactions is with an item that the model knows.")
    if n_strangers <= n_known:
        return evaluate_accuracy(ranker, test, known)[MEASURE]
    if strangers.user_degrees.max() < 2:
        raise DataError(
            f"{n_strangers:,} of {n_strangers + n_known:,} users had nothing in training, and none has two items here,"
            " one to be folded in from and one to be found: hold out interactions of users who keep some."
        )
    given, hidden = split_random(strangers, HIDDEN_PART, rng)
    folded = evaluate_accuracy(FoldedIn(recommender(), known.item_ids), hidden, given)
    if not n_known:
        return folded[MEASURE]
    warnings.warn(
        f"{n_strangers:,} of {n_strangers + n_known:,} users had nothing in training, as where folds are blocks of rows"
        " that are sorted by user; they are folded in from four fifths of what they have here. To hold out"
        " interactions of known users, shuffle the rows, or use cv=InteractionKFold(5).",
        stacklevel=3,
    )
    theirs = test.subset(np.repeat(known.user_degrees > 0, test.user_degrees))
    reached, folded_users = evaluate_accuracy(ranker, theirs, known)[MEASURE], folded["users"]
    return (reached * n_known + folded[MEASURE] * folded_users) / (n_known + folded_users)


def _strangers(held_out: Interactions, known: Interactions) -> tuple[Interactions, int]:
    """Finds what users have who had nothing in training, over known items.

    Returns it, and how many others have anything.
    """
    nobody = Interactions.from_codes([], [], held_out.user_ids, known.item_ids)
    placed, trained = (log.aligned_to(nobody)[0] for log in (held_out, known))
    unknown = trained.user_degrees == 0
    n_known = int(np.count_nonzero(placed.user_degrees[~unknown]))
    return placed.subset(np.repeat(unknown, placed.user_degrees)), n_known
