"""``sparserec gradcheck``: the engine's gradients against independent ones."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Any

import click

from sparserec_np.verify import every_case, gradcheck, reference_case

from .options import json_option
from .output import emit_json, table

FAILED = 1
STEPS = {"torch": 100, "finite-differences": 4}


@click.command()
@click.option("--model", help="Check this model alone.")
@click.option("--loss", help="Check this loss alone.")
@click.option("--negatives", help="Check this way of drawing negatives alone: pairs or block.")
@click.option("--similarity", help="Check this similarity of rows alone: dot or cosine.")
@click.option("--optimizer", help="Check this optimizer alone.")
@click.option("--dim", type=int, help="Columns of the table; 8 by default.")
@click.option("--density", type=float, help="Part of the entries that is active; 0.4 by default.")
@click.option("--seed", type=int, help="Seed of the problem; 0 by default.")
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    help="Length of the training runs; by default 100 against torch, and 4 against finite differences (slow).",
)
@click.option(
    "--against",
    type=click.Choice(tuple(STEPS)),
    default="torch",
    show_default=True,
    help="What the expected gradients are made with.",
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False),
    metavar="CASE.npz",
    help="Check nothing; write a reference case, for checks of other code, to this file.",
)
@json_option
def command(steps: int | None, against: str, export: str | None, as_json: bool, **settings: Any) -> None:
    """Check the engine on a small problem: loss, gradients of active and of explored entries, training runs.

    Expected values come from dense definitions in float64 that share nothing with the engine,
    differentiated by PyTorch or by central differences. Each run has a topology update in the
    middle. The exit code is 1 if an error exceeds its tolerance.

    With --export, the problem goes into a file with everything that comes of it: by default for
    matrix factorisation, BPR, a shared block of negatives and Adam.
    """
    import numba

    numba.set_num_threads(
        1
    )  # for a few rows, waking a second thread takes longer than the work; no bit depends on it
    given = {name: value for name, value in settings.items() if value is not None}
    if export is not None:
        case = reference_case(**given)
        case.save(export)
        if as_json:
            emit_json({"file": export, "settings": asdict(case.settings), "quantities": list(case.expected)})
        else:
            click.echo(f"Written to {export}: {', '.join(case.expected)}")
        return
    cases = every_case(**given)
    optimizers = {"optimizers": [given["optimizer"]]} if given.get("optimizer") else {}
    steps = steps or STEPS[against]
    errors = list(gradcheck(cases, against, steps, **optimizers))
    passed = all(error.passed for error in errors)
    if as_json:
        records = [{**asdict(error), "passed": error.passed} for error in errors]
        emit_json({"against": against, "passed": passed, "errors": records})
    else:
        _print(errors, against)
    if not passed:
        raise SystemExit(FAILED)


def _named(error: Any) -> tuple[str, ...]:
    """Names the case that an error is of."""
    names = (error.model, error.similarity, error.loss, error.negatives)
    return (*names, "weighted") if error.weighted else names


def _print(errors: list[Any], against: str) -> None:
    """Prints a table for each case, the precisions side by side."""
    for case, members in groupby(errors, _named):
        found = list(members)
        dtypes = list(dict.fromkeys(error.dtype for error in found))
        lines = []
        for quantity in dict.fromkeys(error.quantity for error in found):
            line = [quantity]
            for dtype in dtypes:
                (error,) = (e for e in found if (e.quantity, e.dtype) == (quantity, dtype))
                mark = "" if error.passed else "  TOO FAR"
                line += [f"{error.absolute:.1e}", f"{error.relative:.1e}{mark}"]
            lines.append(line)
        headers = ["quantity", *(word for dtype in dtypes for word in (f"{dtype} absolute", "relative"))]
        click.echo(f"{', '.join(case)}\n{table(lines, headers)}\n")
    limits = ", ".join(
        f"{dtype} {limit:g}" for dtype, limit in dict.fromkeys((e.dtype, e.tolerance) for e in errors)
    )
    failed = sum(not error.passed for error in errors)
    click.echo(f"Largest errors against {against}; relative ones may be up to: {limits}.")
    click.echo(f"{failed} of {len(errors)} exceed this." if failed else f"All {len(errors)} are within.")
