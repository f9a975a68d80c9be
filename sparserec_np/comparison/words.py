"""Figures as people read them on a page."""

from __future__ import annotations

import math
from pathlib import Path


def figure_of(number: float) -> str:
    """Writes a figure with four digits that count.

    >>> figure_of(0.12345), figure_of(181.29), figure_of(float("nan"))
    ('0.1235', '181.3', '-')
    """
    if not math.isfinite(number):
        return "-"
    return f"{number:.4f}" if abs(number) < 10 else f"{number:,.1f}"


def signed(mean: float, deviation: float | None) -> str:
    """Writes a mean and how far numbers lie apart.

    >>> signed(0.1234, 0.00056), signed(0.1234, None)
    ('0.1234 ± 0.0006', '0.1234')
    """
    return figure_of(mean) if deviation is None else f"{figure_of(mean)} ± {figure_of(deviation)}"


def gain_of(part: float) -> str:
    """Writes a gain in per cent, with its sign.

    >>> gain_of(0.1179), gain_of(-0.02)
    ('+11.79 %', '-2.00 %')
    """
    return f"{part:+.2%}".replace("%", " %") if math.isfinite(part) else "-"


def p_of(p: float) -> str:
    """Writes a p-value.

    >>> p_of(0.0321), p_of(1e-9)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def bytes_of(count: int | None) -> str:
    """Writes a number of bytes in decimal units.

    >>> bytes_of(999), bytes_of(1_500_000), bytes_of(None)
    ('999 B', '1.5 MB', '-')
    """
    if count is None:
        return "-"
    if count < 1000:
        return f"{count} B"
    size, unit = count / 1000, "kB"
    for larger in ("MB", "GB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"


def seconds_of(seconds: float | None) -> str:
    """Writes a time.

    >>> seconds_of(3.25), seconds_of(200), seconds_of(9000), seconds_of(None)
    ('3.2 s', '3 min 20 s', '2 h 30 min', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def named(path: str) -> str:
    """Leaves of a path the folder and the file: where a machine keeps them is nobody else's business.

    >>> named("/home/ann/data/lastfm/train.txt.gz"), named("train.csv")
    ('lastfm/train.txt.gz', 'train.csv')
    """
    return "/".join(Path(path).parts[-2:])
