"""``--earlier RUN``: a federated training goes on from the table of one before."""

from __future__ import annotations

import os
from dataclasses import dataclass

import click
from click.core import ParameterSource

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.federated.learning_on import LearningOn
from sparserec_np.federated.server import settings_for
from sparserec_np.federated.ways import WAYS
from sparserec_np.serving.model_file import load_model
from sparserec_np.training.checkpoints import digest_of
from sparserec_np.training.run_directory import CONFIG, read_config
from sparserec_np.training.settings import Config

from .run_argument import reading_run

DECIDED = ("protocol", "dim")  # by the earlier run


@dataclass(frozen=True)
class Earlier:
    """The table that an earlier run has made.

    Attributes:
        protocol: that made it, or makes the like.
        table, item_ids: its rows, and whose they are.
        dim: its columns.
        budget: entries that it was allowed.
        recency: how much more later items count in users' rows.
    """

    protocol: str
    table: SparseTable
    item_ids: Array
    dim: int
    budget: int
    recency: float | None = None

    @classmethod
    def of(cls, run: str | None) -> Earlier | None:
        """Reads a run directory; None where none is named.

        Raises:
            SparseRecError: it is none, or no protocol makes a model of its kind.
        """
        if run is None:
            return None
        with reading_run(run):
            model = load_model(run)
            config, _ = read_config(os.path.join(run, CONFIG))
        made = config.resolved()
        for name, way in WAYS.items():
            own = settings_for(way, Config()).resolved()
            if (own.model, own.start, own.user_rows) == (made.model, made.start, made.user_rows):
                budget = int(model.metadata["budget"])
                return cls(name, model.items, model.item_ids, model.dim, budget, made.recency or None)
        raise ConfigError(f"{run} holds a model that no protocol makes: name a run of `sparserec federate`")

    def way(self, catalogue: Array) -> LearningOn:
        """Makes the protocol that goes on from it, over a catalogue."""
        return LearningOn(WAYS[self.protocol], self.table, self.item_ids, catalogue)

    def facts(self) -> dict[str, str]:
        """Says what a training follows from that goes on from it."""
        return {"rows of the model": digest_of(self.table._asdict())}


def refuse_decided(ctx: click.Context) -> None:
    """Refuses options that the earlier run decides. Raises click.UsageError."""
    for param in ctx.command.get_params(ctx):
        given = ctx.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT
        if given and param.name in DECIDED:
            raise click.UsageError(f"{param.opts[0]} is that of the run that --earlier names: leave it out.")
