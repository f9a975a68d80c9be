"""What editors, help() and introspection know of the public classes: each parameter, attribute and method."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
import re
from typing import Any, get_type_hints

import pytest

from sparserec_np import Config, Recommender, SparseRec
from sparserec_np.training.parameters import Parameters
from sparserec_np.training.settings import SETTINGS

PARAMETERS = [*SETTINGS, "threads"]
METHODS = ["fit", "partial_fit", "score", "save", "load", "get_params", "set_params"]
ASKED = ["recommend", "recommend_for_items", "similar_items", "similar_users", "score_items", "explain"]
ASKED += ["user_factors", "item_factors", "user_ids", "item_ids"]
BEGINNING = """from sparserec_np import Recommender, SparseRec
model = SparseRec(dim=8)
served = Recommender.open("run")
"""


def completed(line: str) -> set[str]:
    """What a completion engine offers at the end of a line."""
    script = pytest.importorskip("jedi").Script(BEGINNING + line)
    return public(script.complete(4, len(line)))


def signature_at(line: str) -> Any:
    (signature,) = pytest.importorskip("jedi").Script(BEGINNING + line).get_signatures(4, len(line))
    return signature


def public(names: list[Any]) -> set[str]:
    return {one.name.rstrip("=") for one in names if not one.name.startswith("_")}


def test_a_completion_engine_knows_each_attribute_and_method() -> None:
    found = completed("model.")
    assert {*PARAMETERS, *METHODS, *ASKED, "fitted_", "interactions_", "n_features_in_"} <= found
    assert {*ASKED, "open", "inspect", "fold_in", "model", "popular_items"} <= completed("served.")
    assert "bit_length" in completed("model.dim.")  # dim is known to be a whole number
    assert {"items", "scores", "personal"} <= completed("model.recommend(3).")


def test_a_completion_engine_knows_each_parameter() -> None:
    signature = signature_at("SparseRec(")
    assert [one.name for one in signature.params] == PARAMETERS
    dim = signature.params[PARAMETERS.index("dim")]
    assert dim.to_string() == "dim: int | None=None"
    assert "learning_rate" in completed("SparseRec(lear")
    assert {"X", "callbacks", "verbose"} <= {one.name for one in signature_at("model.fit(").params}
    told = [one.name for one in signature_at("model.recommend(").params]
    assert told == list(inspect.signature(SparseRec().recommend).parameters)


def test_the_signature_is_that_of_the_settings() -> None:
    told = inspect.signature(SparseRec).parameters
    assert list(told) == PARAMETERS
    for field in dataclasses.fields(Config):
        usual = (field.default, field.type)
        if field.name in ("model", "dim"):  # by validation
            usual = (None, f"{field.type} | None")
        assert (told[field.name].default, told[field.name].annotation) == usual
        assert told[field.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(get_type_hints(Parameters)) == PARAMETERS


def test_help_reads_well() -> None:
    text = pydoc.plain(pydoc.render_doc(SparseRec))
    assert "density: 'float' = 0.1" in text
    for name in PARAMETERS:
        assert re.search(rf"^ \|      {name}: [A-Z].{{10}}", text, re.MULTILINE)
    assert "given" not in vars(SparseRec()) and set(vars(SparseRec())) == set(PARAMETERS)


@pytest.mark.parametrize("kind", [SparseRec, Recommender])
def test_each_public_method_says_what_it_does_and_what_it_takes(kind: type) -> None:
    for name, member in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        if inspect.isfunction(member) or inspect.ismethod(member):
            assert inspect.getdoc(member), name
            hints = inspect.signature(member).parameters.values()
            assert all(one.annotation is not one.empty for one in hints if one.name != "self"), name
        elif isinstance(inspect.getattr_static(kind, name), property):
            assert inspect.getdoc(inspect.getattr_static(kind, name)), name
