"""What is made from the code: pages of ``docs/``, and the class of the estimator's parameters.

``python -m tests.makers.pages`` writes all of it anew.
"""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cli.main import main
from sparserec_np.training.setting import SCOPES
from sparserec_np.training.settings_page import settings_page
from tests.makers.parameters import FILE, written_out

DOCS = Path(__file__).parents[2] / "docs"
WIDTH = 100
OTHERS = ("compare", "tune")  # commands with as long a help


def pages() -> dict[str, str]:
    """Path within ``docs/`` -> what stands there."""
    helps = {f"help/{command}.txt": help_of(command) for command in (*SCOPES, *OTHERS)}
    return {"settings.md": settings_page(), **helps}


def help_of(command: str) -> str:
    """What ``--help`` prints on a terminal of 100 columns."""
    done = CliRunner().invoke(
        main, [command, "--help"], prog_name="sparserec", terminal_width=WIDTH, catch_exceptions=False
    )
    return done.output


if __name__ == "__main__":
    for name, text in pages().items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    FILE.write_text(written_out(), encoding="utf-8")
