from __future__ import annotations

import inspect

import pytest

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.formats.options import KINDS, ReaderOptions
from sparserec_np.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"format": "json"}, "There is no format 'json'"),
        ({"min_rating": float("nan")}, "must be a finite number"),
        ({"min_rating": 3, "rating_col": "none"}, "min_rating needs ratings"),
        ({"quote": "'"}, "quote must be 'double' or 'none'"),
        ({"on_bad_line": "warn"}, "on_bad_line must be 'error' or 'skip'"),
        ({"decimal": ";"}, "decimal must be"),
        ({"min_user": 0}, "min_user must be a whole number, 1 or above"),
        ({"min_item": 2.5}, "min_item must be a whole number"),
        ({"min_item": True}, "min_item must be a whole number"),
        ({"encoding": "rot13"}, "There is no text encoding 'rot13'"),
    ],
)
def test_what_is_no_value_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        ReaderOptions(**given)


def test_an_option_has_one_name_everywhere():
    names = set(inspect.signature(read_interactions).parameters) - {"path"}
    assert names == set(KINDS) == set(inspect.signature(ReaderOptions).parameters)
