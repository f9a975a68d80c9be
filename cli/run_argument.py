"""The argument RUN that several commands take, and the refusal of a RUN that is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from sparserec_np.errors import SparseRecError
from sparserec_np.runtime import ArtifactError

run_argument = click.argument("run", metavar="RUN")


@contextmanager
def reading_run(run: str) -> Iterator[None]:
    """Turns what opening RUN may raise into the one sentence that the terminal shows."""
    try:
        yield
    except ArtifactError as error:
        raise SparseRecError(str(error)) from error
    except FileNotFoundError as error:
        raise SparseRecError(
            f"{run} does not exist: expected a run directory, as `sparserec train -o` writes, or the model file in it"
        ) from error
