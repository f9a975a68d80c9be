"""Do people find items that nobody has touched yet, by their attributes, and what does it cost the others?

    python -m benchmarks.studies.cold_items FILE --attributes ITEMS [--decades] [--part 0.1]
    [--draws 2] [--models mf,...] [--name NAME] [--page PAGE.md] [--threads 1] [--json]

About 10 minutes for ml-1m. A tenth of the items is held out with all of their interactions, and of
all others a tenth of each user's interactions. Models are trained on the rest. Then held-out items
get rows of their attributes, and people are ranked for: by the held-out items alone, beside what
knows nothing of these, and by all items. ITEMS holds lines item<TAB>attribute[<TAB>weight], or is
MovieLens' movies.dat, whose genres are read, and with --decades the years in the titles, too.
"""

from __future__ import annotations

import argparse
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import add_page, parser_of
from benchmarks.figures import table
from benchmarks.output import tell, write
from benchmarks.pages import page_of

Log = sparserec_np.Interactions
MEASURE = "ndcg@20"
MEASURES = (MEASURE, "recall@20")
MODELS: dict[str, dict[str, Any]] = {
    "mf": {"model": "mf", "dim": 64, "density": 0.1, "start": "condensed", "epochs": 5},
    "fism-sums": {"model": "fism", "dim": 128, "density": 0.1, "start": "fitted", "user_rows": "sum"},
    "fism-ridge": {"model": "fism", "dim": 64, "density": 0.2, "user_rows": "ridge"},
    "fism-neighbours": {"model": "fism", "dim": 64, "density": 0.5, "user_rows": "neighbours"},
}
UNTRAINED = {"epochs": 0, "validation": 0.0, "learning_rate": 0.003}  # where a model does not say
EXPOSURES = (0.0, 0.5, 1.0)
RANDOM_ORDERS = 10


class Split(NamedTuple):
    """Interactions, parted: all three are over all users and items.

    Attributes:
        train: of known items, to train on.
        warm: of known items, held out.
        cold: of items that are held out wholly.
        held_out: (n_items,) bool, which those are.
    """

    train: Log
    warm: Log
    cold: Log
    held_out: Any


def split_of(log: Log, part: float, seed: int) -> Split:
    """Holds out a part of the items, and of the others a tenth of each user's interactions."""
    rng = np.random.default_rng(seed)
    held_out = np.zeros(log.n_items, dtype=bool)
    held_out[rng.choice(log.n_items, max(1, round(part * log.n_items)), replace=False)] = True
    of_cold = held_out[log.items]
    train, warm = sparserec_np.split_random(log.subset(~of_cold), 0.1, rng)
    return Split(train, warm, log.subset(of_cold), held_out)


def attributes_in(path: str, decades: bool) -> sparserec_np.ItemFeatures:
    """Reads attributes of items from lines with tabs, or from MovieLens' movies.dat."""
    with open(path, encoding="latin-1") as stream:
        lines = stream.read().splitlines()
    if "::" not in lines[0]:
        from sparserec_np.data.item_features import read_item_features  # heavy: `--help` does not wait for it

        return read_item_features(path)
    pairs = []
    for item, title, genres in (line.split("::") for line in lines):
        year = re.search(r"\((\d{3})\d\)\s*$", title) if decades else None
        pairs += [(int(item), name) for name in genres.split("|") + ([f"{year[1]}0s"] if year else [])]
    items, names = zip(*pairs, strict=True)
    return sparserec_np.ItemFeatures.from_pairs(list(items), list(names))


class Given(NamedTuple):
    """Lists that are the same for everybody, of scores (n_items,), in the order of items where these are equal."""

    scores: Any

    def rank(self, users: Any, n: int, seen: Log) -> tuple[Any, Any]:
        """Ranks as ``Ranker.rank`` says, whatever was seen."""
        best = np.argsort(-self.scores, kind="stable")[:n].astype(np.int32)
        return tuple(np.broadcast_to(one, (len(users), n)).copy() for one in (best, self.scores[best]))


def cold_alone(cold: Log) -> Log:
    """Returns the interactions of held-out items, over these alone."""
    ids = cold.item_ids[cold.item_degrees > 0]
    return cold.aligned_to(Log.from_codes([], [], cold.user_ids, ids))[0]


def score_of(ranker: Any, test: Log, seen: Log) -> float:
    """Computes the NDCG@20."""
    return float(sparserec_np.evaluate(ranker, test, seen)[MEASURE])


def without_rows(split: Split, features: Any) -> dict[str, float]:
    """Measures lists of held-out items by what knows no user: NDCG@20 by name."""
    from scipy.sparse import csr_matrix  # heavy: `--help` does not wait for it

    from sparserec_np.factorization.attribute_rows import AttributeRows, weighed

    test = cold_alone(split.cold)
    nothing = test.subset(np.zeros(test.n_interactions, dtype=bool))
    orders = (np.random.default_rng(seed).random(test.n_items) for seed in range(RANDOM_ORDERS))
    known = ~split.held_out
    attributes = weighed(features.of_items(split.cold.item_ids), known)
    degrees = csr_matrix(split.train.item_degrees[known, None].astype(np.float64))
    expected = AttributeRows(attributes[known], degrees, 1.0).of(attributes)[:, 0]
    places = np.searchsorted(split.cold.item_ids, test.item_ids)
    lists = {
        "in the order of their ids, as rows of nothing are": np.zeros(test.n_items),
        "by the popularity that their attributes have": expected[places],
        "by the popularity they have in what is held out, which nobody knows": test.item_degrees,
    }
    found = {name: score_of(Given(scores), test, nothing) for name, scores in lists.items()}
    drawn = statistics.mean(score_of(Given(scores), test, nothing) for scores in orders)
    return {"by popularity, of which they have none: at random": drawn} | found


def listed_alone(fitted: sparserec_np.Fitted, split: Split) -> float:
    """Ranks held-out items alone by a model that has rows of them: NDCG@20."""
    test, users = cold_alone(split.cold), fitted.log.n_users
    factors = fitted.model.factors()
    rows = users + np.searchsorted(fitted.log.item_ids, test.item_ids)
    lengths, places = np.diff(factors.indptr)[rows], factors.places(rows)
    bounds = np.append(0, np.cumsum(lengths)).astype(factors.indptr.dtype)
    items = sparserec_np.SparseTable(bounds, factors.columns[places], factors.values[places])
    ranker = sparserec_np.TableRanker(factors.slice_rows(0, users), items, fitted.model.dim)
    return score_of(ranker, test, test.subset(np.zeros(test.n_interactions, dtype=bool)))


class Widened(NamedTuple):
    """The lists of a model that may not have all items, by their places among all.

    Attributes:
        ranker: of the model.
        seen: over the users and items that it has.
        places: (items of the model,) among all.
    """

    ranker: Any
    seen: Log
    places: Any

    def rank(self, users: Any, n: int, seen: Log) -> tuple[Any, Any]:
        """Ranks as ``Ranker.rank`` says."""
        items, scores = self.ranker.rank(users, n, self.seen)
        return np.where(items < 0, -1, self.places[items]).astype(np.int32), scores


def among_all(fitted: sparserec_np.Fitted, split: Split) -> dict[str, float]:
    """Ranks all items: NDCG@20 and recall@20 of what is held out, and how often held-out items are listed."""
    log, found = fitted.log, dict[str, float]()
    places = np.searchsorted(split.train.item_ids, log.item_ids)
    ranker = Widened(fitted.model.ranker(), split.train.aligned_to(log)[0], places)
    for name, test in (("both", split.warm.union(split.cold)), ("warm", split.warm), ("cold", split.cold)):
        reached = sparserec_np.evaluate(ranker, test, split.train)
        found |= {f"{name} {one}": float(reached[one]) for one in MEASURES}
    lists, _ = ranker.rank(np.arange(log.n_users, dtype=np.int32), 20, split.train)
    return found | {"listed": float(split.held_out[lists].mean())}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measures all: rows by name, a figure for each draw."""
    from sparserec_np.training.cold_items import (
        FromAttributes,
        add_items,
    )  # heavy: `--help` does not wait for it

    log, features = sparserec_np.read_interactions(given.file), attributes_in(given.attributes, given.decades)
    alone: dict[str, list[float]] = {}
    among: dict[str, list[dict[str, float]]] = {}
    for draw in range(given.draws):
        split = split_of(log, given.part, draw)
        touched = split.train.item_ids[split.train.item_degrees > 0]
        known = split.train.aligned_to(Log.from_codes([], [], log.user_ids, touched))[0]
        of_held_out = _only(features, log.item_ids)
        for name, score in without_rows(split, features).items():
            alone.setdefault(name, []).append(score)
        for name in given.models.split(","):
            config = sparserec_np.Config(**UNTRAINED | MODELS[name] | given.settings)
            aside = sparserec_np.train_with_features(known, of_held_out, config, threads=given.threads)
            config = replace(config, entries=aside.budget.nnz)
            plain = sparserec_np.train(known, config, threads=given.threads)
            models = {"no rows": plain}
            for exposure in EXPOSURES:
                how = FromAttributes(exposure=exposure)
                added = add_items(plain, of_held_out, how, threads=given.threads)
                said = "as solved" if not exposure else f"exposure {exposure:g}"
                models[f"rows added, {said}"] = added
            models["trained with attributes"] = aside
            assert all(one.model.table.nnz <= aside.budget.nnz for one in models.values())
            alone.setdefault(f"by rows of attributes: {name}", []).append(listed_alone(aside, split))
            for way, fitted in models.items():
                among.setdefault(f"{name}, {way}", []).append(among_all(fitted, split))
    return {"alone": alone, "among": among}


def _only(features: Any, ids: Any) -> Any:
    """Returns the attributes of items that there are interactions of: others would be listed, and never hit."""
    wanted = features.of_items(ids)
    some = np.flatnonzero(np.diff(wanted.indptr))
    return sparserec_np.ItemFeatures(ids[some], wanted[some], features.names)


def written(found: dict[str, Any]) -> str:
    """Writes both tables: means over draws."""
    alone = [[name, _mean(scores)] for name, scores in found["alone"].items()]
    parts = ["## Held-out items alone", table(["held-out items are listed", "NDCG@20"], alone)]
    columns = [f"{part} {measure}" for part in ("both", "warm", "cold") for measure in MEASURES]
    rows = [
        [name, *(f"{statistics.mean(one[column] for one in draws):.4f}" for column in columns)]
        + [f"{100 * statistics.mean(one['listed'] for one in draws):.1f} %"]
        for name, draws in found["among"].items()
    ]
    head = ["model", *(column.replace("ndcg", "NDCG") for column in columns), "of lists"]
    return "\n\n".join([*parts, "## All items", table(head, rows)])


def _mean(scores: list[float]) -> str:
    """Writes the mean of the draws, with the least and the most behind it, if there are several."""
    if len(scores) == 1:
        return f"{scores[0]:.4f}"
    return f"{statistics.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})"


def words_of(given: argparse.Namespace) -> str:
    """Says what the page shows."""
    drawn = {1: "once", 2: "twice"}.get(given.draws, f"{given.draws} times")
    kinds = "genres, and the decades in the titles" if given.decades else "attributes in the file"
    return (
        f"{given.name}: {100 * given.part:g} % of the items, drawn {drawn}, are held out with all of their"
        " interactions, and a tenth of each user's other interactions. Models are trained on the rest. Rows of"
        f" held-out items are made of their {kinds}. The first table ranks held-out items alone, for all users who"
        " touched any. The second ranks all items: `both` are the interactions with known and with held-out items,"
        " `warm` and `cold` one of these, and the last column says how many places of lists of 20 held-out items"
        " take. All models of a kind store equally many entries. A model without rows of held-out items lists none."
        " Where rows are added, the weakest entries leave; trained with attributes (exposure 0.5), room is kept."
    )


def main() -> None:
    """Measures, prints and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("file", help="the interactions, of which parts are held out")
    parser.add_argument("--attributes", required=True, help="attributes of items")
    parser.add_argument("--decades", action="store_true", help="take the decades in movies.dat's titles, too")
    parser.add_argument("--part", type=float, default=0.1, help="of the items to hold out")
    parser.add_argument("--draws", type=int, default=2, help="how often items are drawn anew")
    parser.add_argument("--models", default=",".join(MODELS), help="some of the models")
    parser.add_argument("--epochs", type=int, help="of all models; by default 5 of mf, and of others none")
    parser.add_argument("--threads", type=int, default=1)
    add_page(parser)
    given = parser.parse_args()
    given.settings = {} if given.epochs is None else {"epochs": given.epochs}
    found = measure(given)
    if given.page:
        title, about = f"Items that nobody touched: {given.name}", machine.describe(given.threads)
        write(Path(given.page), page_of(title, "cold_items", [about], words_of(given), [written(found)]))
    tell(found, given.json, written)


if __name__ == "__main__":
    main()
