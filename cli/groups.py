"""Options in groups: a long help is read by what one wants to say, not from A to Z."""

from __future__ import annotations

from typing import Any

import click

DATA = "Data"
STORED = "What is stored"
STARTED = "How it is trained: the start"
LOSS = "How it is trained: the loss"
STEPS = "How it is trained: steps"
MASK = "How it is trained: the mask"
CHOSEN = "How it is trained: what is held out"
CLIENTS = "How clients take part"
HIDDEN = "What hides clients' answers"
SERVED = "Devices over HTTP"
RUNNING = "Running"
# In the order in which a training is thought through. What a run needs, RUN above all, stands last,
# where a terminal ends.
GROUPS = (DATA, STORED, STARTED, LOSS, STEPS, MASK, CHOSEN, CLIENTS, HIDDEN, SERVED, RUNNING)
# Group of a setting, as the table of settings has it -> group of its option.
OF_SETTINGS = {
    "model": STORED,
    "budget": STORED,
    "start": STARTED,
    "loss": LOSS,
    "learning": STEPS,
    "mask": MASK,
    "validation": CHOSEN,
}


class GroupedOption(click.Option):
    """An option that says under which heading it stands.

    Args:
        group: a member of ``GROUPS``.
    """

    def __init__(self, *names: Any, group: str, **rest: Any) -> None:
        super().__init__(*names, **rest)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options in groups; those that name none are about running."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, group by group."""
        records: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                records[getattr(param, "group", RUNNING)].append(record)
        for group, rows in records.items():
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
