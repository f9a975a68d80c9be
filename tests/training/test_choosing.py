"""The choice of what to store: what is looked at, at which budget, and that the best is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import hold_out, split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training import choosing
from sparserec_np.training.choosing import FIRST_RECENCY, FREE, LADDERS, LOOKED_PART, choose
from sparserec_np.training.fitted import SELECT_BY
from sparserec_np.training.settings import PAIR_SETTINGS, SETTINGS, Config
from sparserec_np.training.train import train
from tests.makers.small import same_bits

LOG = generate(n_users=150, n_items=120, n_interactions=3000, groups=5, seed=3)
CONFIG = Config(density=0.1, validation=0.2)


@pytest.fixture(scope="module")
def chosen():
    looks = []
    return choose(LOG, CONFIG, on_look=looks.append), looks


def stored(look):
    """The entries of a look that stores rows of its own; baselines store what they count."""
    return None if BASE_MODELS[look["model"]].counted else look["nnz"]


def test_the_best_start_is_taken(chosen):
    choice, looks = chosen
    assert list(choice.looks) == looks
    starts = [look for look in looks if stored(look)]
    best = max(starts, key=lambda look: look[SELECT_BY])
    assert choice.best is best
    config = choice.config
    assert (config.model, config.dim, config.start) == (best["model"], best["dim"], best["start"])
    assert config.user_rows == best.get("user_rows")


def test_of_many_users_some_are_drawn_to_look_by(monkeypatch, chosen):
    assert chosen[0].users is None
    monkeypatch.setattr(choosing, "LOOKED_USERS", 40)
    held_out = hold_out(LOG, 0.25, np.random.default_rng(0))[1]
    some, users = choosing._of_some_users(held_out, seed=1)
    drawn = np.flatnonzero(some.user_degrees)
    assert users == len(drawn) == 40
    np.testing.assert_array_equal(some.user_degrees[drawn], held_out.user_degrees[drawn])
    again, other = (choosing._of_some_users(held_out, seed)[0] for seed in (1, 2))
    assert some.digest() == again.digest() != other.digest()
    choice = choose(LOG, replace(CONFIG, model="fism", start="spectral"), ("dim",))
    assert choice.users == 40
    everybody = dict.fromkeys(look[SELECT_BY] for look in chosen[0].looks)
    assert all(look[SELECT_BY] not in everybody for look in choice.looks)


def test_both_models_and_all_starts_are_looked_at(chosen):
    _, looks = chosen
    seen = {(look["model"], look.get("user_rows"), look.get("start")) for look in looks}
    assert seen >= {
        ("fism", "neighbours", "neighbours"),
        ("fism", "sum", "spectral"),
        ("fism", "ridge", "als"),
        ("fism", "ridge", "condensed"),
        ("mf", None, "spectral"),
        ("mf", None, "condensed"),
        ("popularity", None, None),
        ("itemknn", None, None),
    }


def test_all_starts_store_equally_many_entries(chosen):
    """A tenth of 64 columns of users and items; items alone may have fewer in narrow tables."""
    wanted = round(0.1 * 64 * (LOG.n_users + LOG.n_items))
    for look in chosen[1]:
        if stored(look):
            rows = BASE_MODELS[look["model"]].rows(LOG)
            assert look["nnz"] == min(wanted, rows * look["dim"])
            assert look["dim"] <= 128  # of 120 items


@pytest.mark.parametrize("part", [0.1, 0.25, 0.4])
def test_a_choice_is_what_training_reaches_at_epoch_0(part):
    """A quarter is held out at least, as a tenth tells too little."""
    choice = choose(LOG, replace(CONFIG, validation=part), ("start",))
    config = replace(choice.config, epochs=0, refit=False, learning_rate=0.01)
    fitted = train(LOG, replace(config, validation=max(part, 0.25)))
    assert fitted.reached == choice.best[SELECT_BY]


def test_epochs_are_chosen_by_what_chose_the_start_and_from_that_start():
    choice = choose(LOG, replace(CONFIG, model="fism"), SETTINGS.keys() - {"model", "density"})
    assert choice.config.validation == LOOKED_PART and choice.start is not None
    told = []
    fitted = train(LOG, choice.config, start=choice.start, on_epoch=told.append)
    assert told[0]["phase"] == "search" and told[0][SELECT_BY] == choice.best[SELECT_BY]
    again = train(LOG, choice.config)
    assert fitted.best_epoch == again.best_epoch
    assert same_bits(fitted.model.table, again.model.table)


def test_a_start_is_not_handed_on_where_training_holds_out_another_part():
    assert choose(LOG, CONFIG, ("dim",)).start is None
    kept, held_out = split_random(LOG, 0.25, np.random.default_rng(0))
    assert choose(kept, CONFIG, ("dim",), validation=held_out).start is not None


def test_same_seed_same_choice():
    first, second = (choose(LOG, CONFIG, ("dim",), threads=threads) for threads in (1, None))
    assert first.config == second.config

    def without_time(look):
        return {name: value for name, value in look.items() if name != "seconds"}

    assert list(map(without_time, first.looks)) == list(map(without_time, second.looks))


def test_what_is_not_free_stays():
    choice = choose(LOG, replace(CONFIG, model="mf", dim=32), ("start",))
    assert {look["model"] for look in choice.looks} == {"mf"}
    assert {look["dim"] for look in choice.looks} == {32}
    choice = choose(LOG, replace(CONFIG, model="fism", start="als"), ("dim", "user_rows"))
    assert {look["start"] for look in choice.looks} == {"als"}
    assert {look["user_rows"] for look in choice.looks} == {"sum", "ridge"}
    choice = choose(LOG, replace(CONFIG, model="fism"), ("dim",))
    assert {look["user_rows"] for look in choice.looks} == {"sum"}  # what the settings come to


def test_settings_that_a_model_does_not_know_leave_it_out():
    choice = choose(LOG, replace(CONFIG, loss="bsl"))
    assert {look["model"] for look in choice.looks if stored(look)} == {"mf"}


def test_a_budget_of_bytes_is_kept_by_every_start():
    choice = choose(LOG, replace(CONFIG, memory_budget=6_000))
    fitted = train(LOG, replace(choice.config, epochs=0))
    assert fitted.budget.total_bytes + fitted.model.weights.nbytes <= 6_000
    with pytest.raises(ConfigError, match="is impossible"):
        choose(LOG, replace(CONFIG, memory_budget=100))


def test_nothing_that_fits_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="No start of mf or fism goes with these settings"):
        choose(LOG, replace(CONFIG, model="lightgcn"), ("dim",))


def test_least_squares_that_take_long_are_looked_at_only_where_nothing_else_goes(monkeypatch):
    monkeypatch.setattr("sparserec_np.training.choosing.LOOKED_PRODUCTS", 0)
    monkeypatch.setattr("sparserec_np.training.choosing.NEAR_LAST", 0)
    choice = choose(LOG, CONFIG)
    assert {look.get("start") for look in choice.looks} == {
        "neighbours",
        "spectral",
        "fitted",
        None,
    }
    monkeypatch.setattr("sparserec_np.training.choosing.TRIED_PRODUCTS", 0)
    choice = choose(LOG, replace(CONFIG, model="fism", user_rows="ridge"), ("dim", "start"))
    assert [(look["start"], look["dim"]) for look in choice.looks] == [("als", 64)]


@pytest.mark.parametrize("near", [0.0, 10.0])
def test_a_kind_that_is_far_below_the_best_is_looked_at_in_one_width(near, monkeypatch):
    monkeypatch.setattr("sparserec_np.training.choosing.NEAR", near)
    widths = {look["dim"] for look in choose(LOG, CONFIG).looks if look["model"] == "mf"}
    assert (len(widths) == 1) == (near > 1)


@pytest.mark.parametrize("near", [0.0, 10.0])
def test_the_last_starts_of_a_kind_that_is_below_the_best_are_not_looked_at(near, monkeypatch):
    monkeypatch.setattr("sparserec_np.training.choosing.NEAR_LAST", near)
    starts = {look.get("start") for look in choose(LOG, CONFIG).looks}
    assert ("fitted" in starts) == (near < 1)


def test_the_last_starts_are_looked_at_where_the_usual_one_cannot_be_made(monkeypatch):
    plain = choosing._Looks._look

    def of_sums_none(looks, config, **how):
        reached = plain(looks, config, **how)
        return -1.0 if config.user_rows == "sum" else reached

    monkeypatch.setattr(choosing._Looks, "_look", of_sums_none)
    assert "fitted" in {look.get("start") for look in choose(LOG, CONFIG).looks}


def test_a_fit_that_takes_long_is_not_looked_at(monkeypatch):
    monkeypatch.setattr("sparserec_np.training.choosing.FITTED_PRODUCTS", 0)
    starts = {look.get("start") for look in choose(LOG, CONFIG).looks}
    assert "plain-neighbours" in starts and not starts & {"fitted", "neighbours"}


def test_what_neighbours_say_is_looked_at_in_the_best_start():
    free = {"start", "user_rows", *PAIR_SETTINGS}
    choice = choose(LOG, replace(CONFIG, model="fism", dim=16), free)
    for name in PAIR_SETTINGS:
        looks = [look for look in choice.looks if name in look]
        assert len({look[name] for look in looks}) == len(looks) >= 1 or choice.config.start != "neighbours"
    best = choice.best
    assert all(best.get(name) == getattr(choice.config, name) for name in LADDERS)
    # The start that was varied is the one that is made of the chosen settings.
    kept, held = hold_out(LOG, LOOKED_PART, np.random.default_rng([choice.config.seed, 1]), None)
    fitted = train(kept, replace(choice.config, epochs=0), validation=held)
    assert fitted.history[0]["ndcg@20"] == pytest.approx(best["ndcg@20"], abs=1e-6)


def test_neighbours_that_are_to_say_nothing_say_nothing():
    given = replace(CONFIG, model="fism", dim=16, start="neighbours", neighbour_weight=0.0)
    looks = choose(LOG, given, {"neighbour_popularity"}).looks
    assert len(looks) >= 2 and len({look["ndcg@20"] for look in looks}) == 1


def test_a_weight_that_is_given_is_not_looked_at():
    given = replace(CONFIG, model="fism", dim=16, start="neighbours", neighbour_weight=3.0)
    choice = choose(LOG, given, {"neighbour_popularity", "recency"})
    assert choice.config.neighbour_weight == 3.0
    assert {look["neighbour_weight"] for look in choice.looks} == {3.0}


def test_a_baseline_that_cannot_be_counted_is_left_out(monkeypatch):
    def refuse(*given):
        raise DataError("too many items")

    monkeypatch.setattr("sparserec_np.training.choosing.count", refuse)
    choice = choose(LOG, CONFIG)
    assert choice.best is not None and choice.best_baseline is None


def test_with_nothing_held_out_the_first_kind_in_a_suggested_width_is_taken():
    choice = choose(LOG, replace(CONFIG, validation=0.0))
    assert choice.looks == () and choice.best is None and choice.best_baseline is None
    assert (choice.config.model, choice.config.user_rows, choice.config.dim) == ("fism", "neighbours", 32)
    wide = generate(n_users=700, n_items=6000, n_interactions=9000, groups=5, seed=3)
    assert choose(wide, replace(CONFIG, validation=0.0)).config.dim == 128


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"epochs": 3}, "sum"),
        ({"loss": "bpr"}, "sum"),
        ({"method": "set"}, "sum"),
        ({"explore": 0.5}, "sum"),
        ({"epochs": 0}, "neighbours"),
        ({"epochs": 0, "loss": "bpr"}, "neighbours"),
        ({"density": 0.2, "seed": 3}, "neighbours"),
        ({"epochs": 3, "model": "fism", "user_rows": "ridge"}, "ridge"),
    ],
    ids=str,
)
def test_with_nothing_held_out_who_asks_for_training_gets_what_is_trained(given, rows):
    config = replace(CONFIG, validation=0.0, **given)
    free = {*FREE} - given.keys()
    assert choose(LOG, config, free).config.resolved().user_rows == rows
    free = set(SETTINGS) - given.keys()  # as the command line says it
    assert choose(LOG, config, free).config.resolved().user_rows == rows


def test_what_is_named_asks_for_training_even_at_its_default():
    config = replace(CONFIG, validation=0.0)
    free = set(SETTINGS) - {"loss"}
    assert choose(LOG, config, free).config.resolved().user_rows == "sum"


def test_what_needs_too_many_columns_is_not_looked_at(monkeypatch):
    monkeypatch.setattr("sparserec_np.training.choosing.MOST_COLUMNS", 128)
    choice = choose(LOG, replace(CONFIG, validation=0.0))
    assert choice.config.user_rows == "sum"
    assert "neighbours" not in {look.get("user_rows") for look in choose(LOG, CONFIG).looks}


def test_sums_are_looked_at_in_the_best_width_of_neighbours(chosen):
    ours, theirs = (
        {look["dim"]: look[SELECT_BY] for look in chosen[1] if look.get("start") == start}
        for start in ("neighbours", "spectral")
    )
    assert len(ours) > 1
    sums = {look["dim"] for look in chosen[1] if look.get("user_rows") == "sum"}
    assert sums == {max(ours, key=ours.__getitem__)} <= theirs.keys()


def test_interactions_to_validate_by_are_taken_as_they_are():
    kept, held_out = split_random(LOG, 0.2, np.random.default_rng(9))
    choice = choose(kept, CONFIG, ("start",), validation=held_out)
    fitted = train(kept, replace(choice.config, epochs=0), validation=held_out)
    assert fitted.reached == choice.best[SELECT_BY]


def test_what_trains_best_is_filled_in_where_it_may_be():
    free = (*FREE, "epochs")
    config = replace(CONFIG, model="fism", user_rows="sum")
    choice = choose(LOG, config, set(free) - {"model", "user_rows"})
    advice = BASE_MODELS["fism"].advice
    assert choice.config.epochs == advice["epochs"]
    assert choice.config.evaluate_every == SETTINGS["evaluate_every"].default
    assert choice.config.learning_rate is None


@pytest.mark.parametrize("free, rate", [({"learning_rate"}, 0.0045), ({"relative_rate"}, 0.02)])
def test_a_rate_that_is_given_is_counted_as_it_is_given(free, rate):
    config = replace(CONFIG, model="fism", start="neighbours", user_rows="neighbours", learning_rate=0.02)
    chosen = choose(LOG, config, {"dim", *free}).config
    assert (chosen.learning_rate, chosen.relative_rate) == (rate, rate == 0.0045)


@pytest.mark.parametrize("method", ["dense", "magnitude", "granet"])
def test_methods_with_a_full_table_are_left_as_they_are(method):
    config = replace(CONFIG, method=method)
    assert choose(LOG, config).config == config


def test_a_baseline_that_wins_is_known():
    choice = choose(LOG, CONFIG)
    better = max((look for look in choice.looks if not stored(look)), key=lambda look: look[SELECT_BY])
    assert choice.best_baseline == better


@pytest.mark.parametrize("start", ["neighbours", "plain-neighbours"])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_neighbours_that_are_pinned_are_looked_at_with_their_own_rows_alone(start, validation):
    config = replace(CONFIG, model="fism", start=start, validation=validation)
    choice = choose(LOG, config, ("dim", "user_rows"))
    assert choice.config.user_rows == "neighbours"
    assert {look.get("user_rows") for look in choice.looks} <= {"neighbours"}
    assert train(LOG, choice.config).model.dim == choice.config.dim + LOG.n_items


@pytest.mark.parametrize(
    ("start", "user_rows"), [("neighbours", "sum"), ("neighbours", "ridge"), ("spectral", "neighbours")]
)
def test_starts_and_rows_that_do_not_fit_are_refused(start, user_rows):
    with pytest.raises(ConfigError, match=f"The start {start} is made for user_rows"):
        replace(CONFIG, model="fism", start=start, user_rows=user_rows)


def test_too_many_columns_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr("sparserec_np.training.plan.MOST_COLUMNS", 128)
    with pytest.raises(ConfigError, match="need a column for each item beside the 32, 128 in all"):
        train(LOG, replace(CONFIG, model="fism", dim=32, start="neighbours"))


def moving_log():
    """Users who go from one group of items to the next: what they touched last says what comes next."""
    rng = np.random.default_rng(0)
    users, items, times = [], [], []
    for user in range(120):
        for step in range(20):
            group = (user + step // 5) % 12
            users.append(user)
            items.append(group * 10 + int(rng.integers(10)))
            times.append(step)
    return Interactions.from_pairs(users, items, times)


def test_the_order_of_time_is_looked_at():
    config = Config(entries=1500, hold_out="last")
    free = {"recency", "start", "user_rows", "dim"}
    choice = choose(moving_log(), replace(config, model="fism"), free=free)
    powers = {look.get("recency", 0.0) for look in choice.looks}
    assert FIRST_RECENCY in powers and len(powers) >= 2
    assert choice.best.get("recency", 0.0) == (choice.config.recency or 0.0) > 0


def test_at_random_and_without_an_order_nothing_of_it_is_looked_at():
    free = {"recency", "start", "user_rows", "dim"}
    for log, way in ((moving_log(), "random"), (replace(moving_log(), times=None), None)):
        choice = choose(log, Config(model="fism", entries=1500, hold_out=way), free=free)
        assert not any("recency" in look for look in choice.looks) and choice.config.recency is None


def test_with_nothing_held_out_the_usual_recency_is_taken():
    choice = choose(moving_log(), Config(entries=1500, validation=0.0))
    assert choice.config.recency == FIRST_RECENCY and not choice.looks
