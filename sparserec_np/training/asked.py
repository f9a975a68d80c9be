"""What is left to choose of a training, by what somebody asked for.

Who names neither a model nor a width gets what ranks a held-out part best. The command line and the
estimator follow the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sparserec_np.data.interactions import Interactions
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.starts import STARTS, starts_of
from sparserec_np.training.choosing import FREE, LADDERS
from sparserec_np.training.settings import PAIR_SETTINGS, SETTINGS, Config


def with_only_model(given: Mapping[str, Any]) -> dict[str, Any]:
    """Names the model where it is to be chosen, and what is given is for one that stores no users.

    >>> with_only_model({"user_rows": "ridge"})
    {'user_rows': 'ridge', 'model': 'fism'}
    """
    if "model" in given or "dim" in given:
        return dict(given)
    for name, base in BASE_MODELS.items():
        own_start = given.get("start") in set(starts_of(base.stores_users)) - set(STARTS)
        if not base.stores_users and (own_start or given.keys() & base.settings.keys()):
            return {**given, "model": name}
    return dict(given)


def free_to_choose(given: Collection[str], config: Config, log: Interactions) -> frozenset[str]:
    """Names the settings that may be chosen by validation: those that nobody named.

    There are none where a model whose users are stored is given: then starts are compared by
    training from them. Nor are there where a width is given and no model. Where both are, what is
    left is how much the order of time and neighbours count, and how to train.

    Args:
        given: names of the settings that were given.
        config: all settings.
        log: the interactions to train on.
    """
    chosen = BASE_MODELS[config.model] if "model" in given else None
    if chosen is not None and (chosen.counted or chosen.stores_users):
        return frozenset()
    free = frozenset(SETTINGS) - {*given}
    if "dim" in given:
        if chosen is None:
            return frozenset()
        free -= {*FREE} - {*LADDERS}
        free -= set() if log.times is not None else {"recency"}
        free -= set() if config.marks_items else {*PAIR_SETTINGS}
    return free
