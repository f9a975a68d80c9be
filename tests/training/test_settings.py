"""Settings: what is taken, what is refused, and that a refusal names the field."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.training.settings import CHOICES, SETTINGS, Config


def test_settings_are_written_and_read_back() -> None:
    config = Config(method="rigl", dim=32, memory_budget=10_000, refit=False, learning_rate=1)
    assert Config.from_json(json.dumps(config.to_dict())) == config
    assert Config.from_dict({}) == Config()
    assert list(Config().to_dict()) == [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "nonsense") for name in CHOICES),
        *((name, 0) for name in ("dim", "density", "explore", "learning_rate", "memory_budget", "entries")),
        *((name, 0) for name in ("negatives", "batch_size", "evaluate_every", "drop_interval")),
        *((name, 1.1) for name in ("density", "explore", "drop_until", "drop_fraction", "validation")),
        *((name, -1) for name in ("epochs", "patience", "floor", "seed", "start_score", "regrow_start")),
        *((name, -0.1) for name in ("l2_user", "l2_positive", "l2_negative", "drop_fraction", "validation")),
        *((name, float("nan")) for name in ("density", "learning_rate", "l2_user", "drop_until")),
        *((name, float("inf")) for name in ("learning_rate", "l2_user", "start_score", "regrow_start")),
        *(
            (name, 2.5)
            for name in (
                "dim",
                "epochs",
                "batch_size",
                "negatives",
                "seed",
                "floor",
                "memory_budget",
                "entries",
            )
        ),
        *((name, True) for name in ("dim", "density", "seed", "memory_budget", "entries")),
        *((name, "1") for name in ("dim", "density", "refit", "memory_budget", "entries")),
        *((name, None) for name in ("dim", "density", "method", "refit")),
        *((name, ["bpr"]) for name in ("loss", "dim")),
        ("dim", 65_537),
        ("refit", 1),
        ("validation", 0.95),
    ],
)
def test_a_refusal_names_the_field(name: str, value: Any) -> None:
    for make in (lambda: Config(**{name: value}), lambda: Config.from_dict({name: value})):
        with pytest.raises(ConfigError) as refused:
            make()
        assert str(refused.value).startswith(f"{name} must be ")
        assert "\n" not in str(refused.value)


def test_bounds_are_taken() -> None:
    Config(density=1, explore=1, drop_until=0, drop_fraction=0, validation=0, epochs=0, patience=0, floor=0)
    Config(dim=1, batch_size=1, evaluate_every=1, learning_rate=1e-9, memory_budget=1)
    Config(dim=65_536, validation=0.9, drop_fraction=0.99, drop_until=1)


def test_a_budget_is_named_once() -> None:
    """A density has a default, before which the others go."""
    Config(density=0.2, entries=100), Config(density=0.2, memory_budget=100)
    with pytest.raises(ConfigError, match="entries and memory_budget both name the budget; leave one"):
        Config(entries=100, memory_budget=100)


def test_how_many_entries_there_can_be_is_not_asked_before_the_width_counts() -> None:
    assert Config(entries=10**15, dim=1).entries == 10**15


def test_least_squares_in_very_many_columns_are_refused() -> None:
    Config(start="als", dim=FOLDED_DIMENSIONS)
    with pytest.raises(
        ConfigError, match="dim must be at most 4,096 with the start als, .*, found 4,097; set"
    ):
        Config(start="als", dim=FOLDED_DIMENSIONS + 1)


def test_softmax_with_one_negative_is_refused() -> None:
    with pytest.raises(ConfigError, match="softmax sets a pair against a block of negatives"):
        Config(loss="softmax", negatives=1)
    Config(loss="bpr", negatives=1)


def test_unknown_settings_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'learning_rat' is no setting; did you mean 'learning_rate'?"):
        Config.from_dict({"learning_rat": 1})
    with pytest.raises(
        ConfigError, match="'xyz' is no setting; there are: model, layers, hidden, method, dim"
    ):
        Config.from_dict({"xyz": 1})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"dim": 4,}', "run.json is not JSON: .* in line 1"),
        ("[1, 2]", "run.json must hold one JSON object"),
        ('{"dim": 4.5}', "dim must be of type int, found 4.5"),
        ('{"density": NaN}', "density must be"),
    ],
)
def test_texts_that_are_no_settings_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Config.from_json(text, "run.json")


def test_a_loss_brings_its_similarity_and_settings() -> None:
    plain = Config().resolved()
    assert (plain.similarity, plain.temperature, plain.margin) == ("dot", 1.0, None)
    cosine = Config(similarity="cosine").resolved()
    assert (cosine.similarity, cosine.temperature) == ("cosine", 0.1)
    contrastive = Config(loss="ccl", margin=0.7).resolved()
    assert (contrastive.similarity, contrastive.temperature, contrastive.margin) == ("cosine", 1.0, 0.7)
    assert dict(contrastive.objective.settings) == {"negative_weight": 100.0, "margin": 0.7}
    assert Config.from_dict(contrastive.to_dict()) == contrastive


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "softmax", "margin": 0.5}, "margin is no setting of the loss softmax, but of ccl"),
        ({"loss": "ccl", "sharpness": 2.0}, "sharpness is no setting of the loss ccl, but of bsl"),
        ({"loss": "bsl", "similarity": "dot"}, "bsl has no bound for inner products"),
        ({"loss": "bsl", "negatives": 1}, "set negatives above 1"),
        ({"similarity": "euclid"}, "similarity must be one of dot, cosine"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"model": "neumf", "similarity": "cosine"}, "neumf are no inner products .* can be no cosines"),
        ({"model": "neumf", "loss": "bsl"}, "set loss to softmax, bpr or bce"),
        ({"model": "neumf", "temperature": 0.5}, "nor be divided by a temperature"),
        ({"model": "neumf", "hidden": 1}, "hidden must be 2 or more"),
        ({"model": "neumf", "layers": 2}, "layers is no setting of the model neumf, but of lightgcn"),
        ({"hidden": 8}, "hidden is no setting of the model mf, but of neumf"),
        ({"embedding_dropout": 1.0}, "embedding_dropout must be 0 or more and at most 0.95"),
        ({"user_rows": "ridge"}, "user_rows is no setting of the model mf, but of fism"),
        ({"model": "fism", "ridge": 2.0}, "ridge has no meaning where users' rows are not solved for"),
        ({"model": "fism", "user_rows": "sum", "untouched_weight": 1.0}, "untouched_weight has no meaning"),
        ({"model": "fism", "user_rows": "ridge", "ridge": 0}, "ridge must be 0.001 or more"),
        ({"model": "fism", "user_rows": "ridge", "dim": 5000}, "dim must be at most 4,096 where users' rows"),
        ({"model": "fism", "start": "nmf"}, "set start to spectral, fitted, als, condensed"),
        (
            {"model": "fism", "start": "fitted", "dim": 5000},
            "dim must be at most 4,096 with the start fitted",
        ),
        ({"start": "fitted"}, "no rows of users, which the model mf stores; set start to spectral, als"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 9}, "layers is no setting of the model mf, but of lightgcn"),
        ({"model": "popularity", "dim": 0}, "dim has no meaning for the model popularity"),
        ({"model": "fism", "l2_user": -1.0}, "l2_user has no meaning for the model fism"),
        ({"model": "fism", "ridge": 0.0}, "ridge has no meaning where users' rows are not solved for"),
        ({"start": "als", "dim": 70_000}, "dim must be at most 4,096 with the start als"),
        ({"loss": "bpr", "sharpness": 0.0}, "sharpness is no setting of the loss bpr"),
        ({"entries": 0, "memory_budget": 9}, "both name the budget"),
        ({"model": "lightgcn", "layers": 9}, "layers must be 1 or more and at most 4, found 9"),
        ({"negatives": 0}, "negatives must be 1 or more"),
    ],
)
def test_what_has_no_place_is_said_before_what_is_out_of_range(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_numbers_of_numpy_are_taken_and_kept_as_pythons() -> None:
    given = Config(
        dim=np.int64(8),
        density=np.float32(0.25),
        learning_rate=np.float64(0.01),
        refit=np.bool_(False),
        model=np.str_("mf"),
    )
    assert given == Config(dim=8, density=0.25, learning_rate=0.01, refit=False)
    assert Config.from_json(json.dumps(given.to_dict())) == given
    for wrong in (np.float64(8.5), np.bool_(True), np.str_("8")):
        with pytest.raises(ConfigError, match="dim must be of type int"):
            Config(dim=wrong)


@pytest.mark.parametrize(
    ("given", "user_rows", "start"),
    [
        ({}, "sum", "spectral"),
        ({"start": "uniform"}, "sum", "uniform"),
        ({"start": "als"}, "ridge", "als"),
        ({"start": "condensed"}, "ridge", "condensed"),
        ({"user_rows": "ridge"}, "ridge", "als"),
        ({"user_rows": "ridge", "start": "spectral"}, "ridge", "spectral"),
        ({"user_rows": "sum", "start": "als"}, "sum", "als"),
    ],
)
def test_users_rows_and_the_start_suit_each_other(given: dict[str, str], user_rows: str, start: str) -> None:
    config = Config(model="fism", epochs=7, **given)  # type: ignore[arg-type]
    settled = config.resolved()
    assert (settled.user_rows, settled.start) == (user_rows, start)
    solved = user_rows == "ridge"
    assert settled.epochs == (0 if solved else 7) and config.trained is not solved
    assert (settled.untouched_weight, settled.ridge) == ((0.2, 1.0) if solved else (None, None))
    assert settled.resolved() == settled and Config.from_dict(settled.to_dict()) == settled


def test_rows_of_users_that_are_stored_are_not_made() -> None:
    settled = Config().resolved()
    assert (settled.user_rows, settled.untouched_weight, settled.ridge) == (None, None, None)
    assert settled.trained


@pytest.mark.parametrize("model", ["popularity", "itemknn"])
def test_a_baseline_has_no_settings_of_training(model: str) -> None:
    for name, value in (("epochs", 3), ("density", 0.2), ("memory_budget", 1000), ("learning_rate", 0.01)):
        with pytest.raises(ConfigError, match=f"{name} has no meaning for the model {model}"):
            Config(model=model, **{name: value})
    config = Config(model=model, seed=3, validation=0.2, refit=False).resolved()
    assert config.learning_rate is config.negatives is config.similarity is None
    assert Config.from_dict(config.to_dict()) == config


def test_the_start_is_said_to_be_looked_for_among_neighbours_too() -> None:
    row = SETTINGS["start"]
    assert row.line("train").endswith(
        "by default neighbours, spectral or condensed (on much data: als), by validation."
    )
    assert "looks at neighbours first" in row.text
