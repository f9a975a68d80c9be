"""The class of the estimator's parameters, written out from the settings, for editors and type checkers.

``python -m tests.makers.pages`` writes it anew.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

from sparserec_np.training.setting import Setting
from sparserec_np.training.settings import SETTINGS, Config

FILE = Path(__file__).parents[2] / "sparserec_np" / "training" / "parameters.py"
WIDTH = 100
CHOSEN = ("model", "dim")  # by validation, where they are not given

HEAD = '''"""The parameters of the estimator, written out one by one, so that editors and type checkers know them.

Made from the table of settings by ``python -m tests.makers.pages``: change that, not this.
"""

from __future__ import annotations

from typing import Any


class Parameters:
    """The settings of a training run, and the threads, as an estimator's parameters.

    What each value means in full is told in docs/settings.md; None is a default that depends on
    others. They are checked when they are used.

    Attributes:
'''


def written_out() -> str:
    """The whole file."""
    fields = dataclasses.fields(Config)
    listed = "".join(_described(field.name, _help_of(SETTINGS[field.name])) for field in fields)
    listed += _described("threads", "Threads to work on; all by default.")
    kinds = {field.name: (str(field.type), repr(field.default).replace("'", '"')) for field in fields}
    kinds |= {name: (f"{SETTINGS[name].kind.__name__} | None", "None") for name in CHOSEN}
    kinds["threads"] = ("int | None", "None")
    attributes = "".join(f"    {name}: {kind}\n" for name, (kind, _) in kinds.items())
    arguments = "".join(f"        {name}: {kind} = {default},\n" for name, (kind, default) in kinds.items())
    return (
        f'{HEAD}{listed}    """\n\n{attributes}\n'
        f"    def __init__(\n        self,\n        *,\n{arguments}    ) -> None:\n"
        "        given: dict[str, Any] = dict(locals())\n"
        '        del given["self"]\n'
        "        vars(self).update(given)\n"
    )


def _help_of(row: Setting) -> str:
    """The line of help, with the choices there are."""
    choices = f" One of {', '.join(row.choices)}." if row.choices else ""
    choices += " By validation where neither model nor dim is given." if row.name in CHOSEN else ""
    owners = row.owners()
    default = row.words or ", ".join(f"{value:g}" for value in owners.values() if value is not None)
    return row.help.format(owners=" and ".join(owners), default=default) + choices


def _described(name: str, text: str) -> str:
    lines = textwrap.wrap(
        f"{name}: {text}", WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"
