"""The options of ``sparserec federate`` that say what hides clients' answers, and what that has cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from sparserec_np.errors import ConfigError
from sparserec_np.federated.privacy import Privacy, expect_accountant, spent
from sparserec_np.federated.rounds import Hiding
from sparserec_np.federated.secure import expect_cryptography
from sparserec_np.training.fitted import Record

from .groups import HIDDEN, GroupedOption


def _option(*names: str, **rest: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, group=HIDDEN, **rest)


_OPTIONS = (
    _option(
        "--secure",
        is_flag=True,
        help="Let clients send whole vectors under masks that cancel, so that the server learns sums alone.",
    ),
    _option(
        "--noise",
        type=click.FloatRange(0, min_open=True),
        metavar="X",
        help="Deviation of the noise that clients add to each sum, in parts of what one client can move it by; with"
        " --protocol spectral.",
    ),
    _option(
        "--clip",
        type=click.IntRange(1),
        metavar="N",
        help="With --noise: most items that a client answers from; others it keeps to itself. By default 32.",
    ),
    _option(
        "--delta",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="P",
        help="With --noise: the delta for which the report says an epsilon. By default 1e-5.",
    ),
)


def hiding_options(command: Any) -> Any:
    """Adds the options; :func:`hiding_of` takes what they say."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def hiding_of(given: dict[str, Any], protocol: str | None) -> Hiding | None:
    """Makes what hides answers, of the options; None where nothing does.

    Raises:
        ConfigError: they do not go together.
        SparseRecError: a package is missing.
    """
    noise = given["noise"]
    if noise is None:
        for name in ("clip", "delta"):
            if given[name] is not None:
                raise ConfigError(f"--{name} is about noise: give --noise, too, or leave it out")
    elif protocol != "spectral":
        raise ConfigError("--noise goes with --protocol spectral alone: name it")
    else:
        expect_accountant()
    if given["secure"]:
        expect_cryptography()
    if noise is None and not given["secure"]:
        return None
    if noise is None:
        return Hiding(given["secure"])
    return Hiding(given["secure"], Privacy(given["clip"] or 32, noise, given["delta"] or 1e-5))


def privacy_told(privacy: Privacy | None, passes: Sequence[Record]) -> dict[str, Any]:
    """Reports what noise has cost, over all passes; nothing where there is none."""
    if privacy is None:
        return {}
    count = sum(record["released"] for record in passes)
    said = {"clip": privacy.items, "noise": privacy.noise, "releases": count, "delta": privacy.delta}
    return {"privacy": said | {"epsilon": spent(privacy.noise, count, privacy.delta)}}


def privacy_rows(report: dict[str, Any]) -> list[list[Any]]:
    """Makes the rows of a printed report that tell what noise has cost."""
    told = report.get("privacy")
    return [[f"epsilon, for a delta of {told['delta']:g}", round(told["epsilon"], 2)]] if told else []
