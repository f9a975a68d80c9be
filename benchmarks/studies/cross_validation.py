"""Does cross-validation over pairs agree with an honest split, and is one over rows of a matrix refused?

    python -m benchmarks.studies.cross_validation FILE [--folds 5] [--draws 8] [--epochs 0]
    [--dim 64] [--density 0.25] [--name NAME] [--page PAGE.md] [--threads 1] [--json]

About 2 minutes for LastFM. The honest split is a loop without scikit-learn: interactions are
shuffled and dealt into folds, `train` learns from all but one of them, and `evaluate` gives the
NDCG@20 of that one. Interactions are dealt either user by user, so that everybody keeps their
share, or all alike. Beside it stands scikit-learn's `cross_val_score`, in the first case with
`InteractionKFold`, in the second with scikit-learn's own shuffled `KFold`, and once on the very
folds of the loop. Pairs and frames tell no users and items but those that they hold; Interactions
know all of FILE, and so does the loop beside them. A mean over folds differs from draw to draw, so
all is drawn anew several times. Epochs are 0 unless more are asked for: the start alone is quick,
and it is a model. Where rows of a matrix of users x items are split, the refusal is shown.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
from typing import Any

import numpy as np

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import add_page, parser_of
from benchmarks.data import as_matrix
from benchmarks.figures import table
from benchmarks.output import tell, write
from benchmarks.pages import page_of

Log = sparserec_np.Interactions
DEALT = {"user by user": "InteractionKFold", "all alike": "KFold"}  # and the splitter that does so
FORMS = {"pairs": "pairs, `(n, 2)`", "frame": "frame of pandas", "Interactions": "`Interactions`"}
MEASURE = "ndcg@20"


def pairs_of(log: Log) -> Any:
    """Lists the rows of interactions as pairs of ids, (n, 2), as scikit-learn counts them."""
    return np.stack(log.row_pairs(), axis=1)


def folds_of(pairs: Any, how: str, folds: int, seed: int) -> list[tuple[Any, Any]]:
    """Deals shuffled pairs into folds: for each the rows to train on, and those held out.

    What is dealt user by user lies in the order of users, so that it ends in folds by turns.
    """
    drawn = np.random.default_rng(seed).random(len(pairs))
    order = np.lexsort((drawn, pairs[:, 0])) if how == "user by user" else np.argsort(drawn)
    dealt = np.empty(len(pairs), dtype=np.int64)
    dealt[order] = np.arange(len(pairs)) % folds
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(folds)]


def honest_score(folds: list[tuple[Any, Any]], log: Log, all_known: bool, given: argparse.Namespace) -> float:
    """Trains and evaluates fold by fold, by the library alone; returns the mean of NDCG@20.

    ``all_known`` says whether a model has users and items of which all interactions are held out.
    """
    pairs, scores = pairs_of(log), []
    for rows in folds:
        kept, held_out = (Log.from_pairs(*pairs[some].T) for some in rows)
        if all_known:
            kept = kept.aligned_to(log)[0]
        fitted = sparserec_np.train(kept, sparserec_np.Config(**given.settings), threads=given.threads)
        scores.append(sparserec_np.evaluate(fitted, held_out.aligned_to(kept)[0], kept)[MEASURE])
    return statistics.mean(scores)


def splitter_of(how: str, folds: int, seed: int) -> Any:
    """Makes the splitter that deals in one of the ways."""
    if how == "user by user":
        return sparserec_np.InteractionKFold(folds, seed=seed)
    from sklearn.model_selection import KFold  # heavy: `--help` does not wait for it

    return KFold(folds, shuffle=True, random_state=seed)


def cross_score(rows: Any, cv: Any, given: argparse.Namespace) -> float:
    """Cross-validates an estimator of the same settings by scikit-learn; returns the mean."""
    from sklearn.model_selection import cross_val_score  # heavy: `--help` does not wait for it

    model = sparserec_np.SparseRec(**given.settings, threads=given.threads)
    return float(np.mean(cross_val_score(model, rows, cv=cv, error_score="raise")))


def forms_of(log: Log) -> dict[str, Any]:
    """Gives the interactions in every form."""
    import pandas  # heavy: `--help` does not wait for it

    pairs = pairs_of(log)
    frame = pandas.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1]})
    return {"pairs": pairs, "frame": frame, "Interactions": log}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measures all: scores by draw, and what is said of rows of a matrix, None if nothing is."""
    log = sparserec_np.read_interactions(given.file)
    forms, rows = forms_of(log), []
    for how in DEALT:
        folds = [folds_of(forms["pairs"], how, given.folds, seed) for seed in range(given.draws)]
        honest = {
            known: [honest_score(dealt, log, known, given) for dealt in folds] for known in (False, True)
        }
        for form, data in forms.items():
            splitters = [splitter_of(how, given.folds, seed) for seed in range(given.draws)]
            row = {"form": form, "dealt": how, "honest": honest[form == "Interactions"]}
            row["on the first folds"] = cross_score(data, folds[0], given)
            rows.append(row | {"crossed": [cross_score(data, cv, given) for cv in splitters]})
    return {"rows": rows, "rows of a matrix": refusal(log, given)}


def refusal(log: Log, given: argparse.Namespace) -> str | None:
    """Cross-validates over rows of a matrix; returns the sentence that refuses it, None without one."""
    try:
        cross_score(as_matrix(log), given.folds, given)
    except sparserec_np.DataError as error:
        return str(error)
    return None


def written(found: dict[str, Any]) -> str:
    """Writes the means as a table, and what was said of rows of a matrix."""
    rows = []
    for row in found["rows"]:
        honest, crossed = np.mean(row["honest"]), np.mean(row["crossed"])
        apart = abs(row["on the first folds"] - row["honest"][0])
        given = [FORMS[row["form"]], row["dealt"], _mean(row["honest"]), f"{apart:.0e}" if apart else "0"]
        rows.append(
            [
                *given,
                f"`{DEALT[row['dealt']]}`",
                _mean(row["crossed"]),
                f"{100 * (crossed / honest - 1):+.2f} %",
            ]
        )
    head = ["given", "dealt", "honest split", "`cross_val_score` on its first folds, off by"]
    head += ["splitter", "`cross_val_score` with it", "difference"]
    said = found["rows of a matrix"]
    refused = textwrap.fill(said or "NOT REFUSED.", 100, initial_indent="> ", subsequent_indent="> ")
    return f"{table(head, rows)}\n\nRows of a matrix, users x items, under `cross_val_score`:\n\n{refused}"


def _mean(scores: list[float]) -> str:
    """Writes the mean of the draws, with the least and the most behind it."""
    return f"{np.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})"


def words_of(given: argparse.Namespace) -> str:
    """Says what the page shows."""
    return (
        f"Means of NDCG@20 over {given.folds} folds of {given.name}, drawn {given.draws} times, with the lowest and"
        " the highest draw behind them. The honest split is a loop of `train` and `evaluate` without scikit-learn,"
        " which deals the interactions into folds user by user, or all alike. `Interactions` know all users and items"
        " of the file; pairs and frames know those that they hold, and what is held out of others is left out of the"
        f" measure. All models: {', '.join(f'{name} {value}' for name, value in given.settings.items())}."
    )


def main() -> None:
    """Measures, prints and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("file", help="the interactions, of which parts are held out")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=8, help="how often folds are drawn anew")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--density", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=1)
    add_page(parser)
    given = parser.parse_args()
    given.settings = {"model": "mf", "start": "spectral", "dim": given.dim, "density": given.density}
    given.settings |= {"epochs": given.epochs, "learning_rate": 0.01, "validation": 0.0}
    found = measure(given)
    if given.page:
        about = machine.describe(given.threads)
        about["versions"]["pandas"] = machine.package_version("pandas")
        title = f"Cross-validation: {given.name}"
        write(given.page, page_of(title, "cross_validation", [about], words_of(given), [written(found)]))
    tell(found, given.json, written)


if __name__ == "__main__":
    main()
