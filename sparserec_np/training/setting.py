"""One setting of a training run: its default and range, who has it, which command takes it.

The settings themselves are the fields of :class:`~sparserec_np.training.settings.Config`. What is
said of one there is all that the checks, the options of the command line and the page of settings
know of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparserec_np.errors import ConfigError
from sparserec_np.learning.losses import LOSSES, Loss
from sparserec_np.models.base_models import BASE_MODELS, MODEL_SETTINGS, BaseModel

LOSS_SETTINGS = tuple(dict.fromkeys(name for loss in LOSSES.values() for name, _ in loss.settings))
GROUPS = ("model", "budget", "start", "loss", "learning", "mask", "validation")
COUNT = 2**31 - 1  # the most of anything that is counted: more is a slip of the hand
KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


class Scope(NamedTuple):
    """The base models and the losses that a command trains with."""

    models: tuple[BaseModel, ...]
    losses: tuple[Loss, ...]


_SOLVED = tuple(model for model in BASE_MODELS.values() if model.stored_rows and not model.counted)
_MADE = tuple(model for model in BASE_MODELS.values() if not model.stores_users)
SCOPES = {
    "train": Scope(tuple(BASE_MODELS.values()), tuple(LOSSES.values())),
    # A student is scored by inner products of its stored rows, as its teacher is.
    "distill": Scope(_SOLVED, tuple(loss for loss in LOSSES.values() if not loss.cosine)),
    "update": Scope((*_SOLVED, *_MADE), tuple(LOSSES.values())),
}


@dataclass(frozen=True)
class InCommand:
    """A setting in a command other than ``train``.

    What is left out is as in ``train``.

    Attributes:
        default: its own default.
        words: the default in words, where it is no single value.
        help: its own line of help.
        written: see :class:`Setting`.
        choices: those that the command takes.
        low: the least that it takes.
    """

    default: Any = None
    words: str = ""
    help: str = ""
    written: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None


SAME = InCommand()
AS_IN_RUN = InCommand(words="as in RUN")


@dataclass(frozen=True)
class Setting:
    """All that is known of one setting.

    Attributes:
        help: one line. ``{owners}`` stands for the models or losses that have it, ``{default}`` for
            the default, where the line tells that itself.
        group: one of ``GROUPS``.
        text: what the line leaves out, for the page of settings.
        low, high: the range, both included; None for a setting that is no number, infinity for no
            upper end.
        open_below: whether ``low`` is left out.
        choices: all values there are, of a setting with names for values.
        words: the default in words, where the field's is None.
        per_model, per_loss: the default of a model, or of a loss, where the field's is None and all
            have one.
        unsaid: whether a run's configuration leaves it out where it is at its default.
        written: how the command line names what it takes, where that is text to be read first and
            not the value.
        train: the setting in that command.
        distill, update: the setting in these commands; None for one that they do not take. An
            update keeps what it does not take as the model has it.
        name, kind, optional, default: of the field, which the table fills in.
    """

    help: str
    group: str
    text: str = ""
    low: float | None = None
    high: float = math.inf
    open_below: bool = False
    choices: tuple[str, ...] = ()
    words: str = ""
    per_model: Callable[[BaseModel], Any] | None = None
    per_loss: Callable[[Loss], Any] | None = None
    written: str = ""
    unsaid: bool = False
    train: InCommand = SAME
    distill: InCommand | None = SAME
    update: InCommand | None = None
    name: str = ""
    kind: type = str
    optional: bool = False
    default: Any = None

    def check(self, value: Any) -> None:
        """Refuses a value of another type, out of range, or no choice.

        Raises:
            ConfigError: a sentence that begins with the name.
        """
        self.check_kind(value)
        self.check_range(value)

    def check_kind(self, value: Any) -> None:
        """Refuses a value of another type, or no choice.

        Whole numbers are numbers.

        Raises:
            ConfigError: a sentence that begins with the name.
        """
        if value is None and self.optional:
            return
        good = isinstance(value, self.kind) or (self.kind is float and isinstance(value, int))
        if not good or (isinstance(value, bool) and self.kind is not bool):
            raise ConfigError(f"{self.name} must be of type {self.kind.__name__}, found {value!r}")
        if self.choices and value not in self.choices:
            raise ConfigError(f"{self.name} must be one of {', '.join(self.choices)}, found {value!r}")

    def check_range(self, value: Any) -> None:
        """Refuses a number out of range.

        Raises:
            ConfigError: a sentence that begins with the name.
        """
        if value is not None and self.low is not None and not self._is_within(value):
            raise ConfigError(f"{self.name} must be {self.range}, found {value!r}")

    def _is_within(self, value: float) -> bool:
        above = value > self.low if self.open_below else value >= self.low  # type: ignore[operator]
        return above and value <= self.high and value != math.inf

    @property
    def range(self) -> str:
        """The range in words; empty where there is none."""
        if self.low is None:
            return ""
        bound = f"above {self.low:g}" if self.open_below else f"{self.low:g} or more"
        return bound if self.high == math.inf else f"{bound} and at most {self.high:g}"

    def in_command(self, command: str) -> InCommand | None:
        """Returns the setting as a command has it.

        It is None where a command does not take it, or trains nothing that has it.
        """
        own: InCommand | None = getattr(self, command)
        return None if self.is_owned and not self.owners(command) else own

    def choices_in(self, command: str) -> tuple[str, ...]:
        """Returns the choices that a command takes."""
        own = self.in_command(command)
        return (own.choices if own else ()) or self.choices

    def low_in(self, command: str) -> float | None:
        """Returns the least value that a command takes."""
        own = self.in_command(command)
        return self.low if own is None or own.low is None else own.low

    @property
    def is_owned(self) -> bool:
        """Whether only some models, or some losses, have the setting."""
        return self.name in MODEL_SETTINGS or self.name in LOSS_SETTINGS

    def owners(self, command: str = "train") -> Mapping[str, Any]:
        """Returns the models, or losses, of a command that have the setting, each with its default.

        Those that have a default for it are among them.
        """
        models, losses = SCOPES[command]
        if self.per_model is not None:
            having = (model for model in models if not model.counted and model.takes(self.name))
            return {model.name: self.per_model(model) for model in having}
        if self.per_loss is not None:
            return {loss.name: self.per_loss(loss) for loss in losses}
        own: dict[str, Mapping[str, Any]] = {model.name: model.settings for model in models}
        own |= {loss.name: dict(loss.settings) for loss in losses}
        return {owner: settings[self.name] for owner, settings in own.items() if self.name in settings}

    def default_in(self, command: str) -> str:
        """Returns the default in words; empty where there is nothing to say."""
        return self.shown_default(command) or self.words

    def shown_default(self, command: str) -> str:
        """Returns the default in words, unless it depends on other settings."""
        own = self.in_command(command) or SAME
        if own.words:
            return own.words
        default = self.default if own.default is None else own.default
        if isinstance(default, bool):
            return (self.name if default else f"no_{self.name}").replace("_", "-")
        if default is not None:
            return str(default)
        owners = {owner: value for owner, value in self.owners(command).items() if value is not None}
        if len(owners) == 1 and not self.is_owned:
            return "".join(f"{value:g}" for value in owners.values())
        return ", ".join(f"{value:g} with {owner}" for owner, value in owners.items())

    def line(self, command: str) -> str:
        """Returns the line of help in a command."""
        own, owners = self.in_command(command) or SAME, self.owners(command)
        only = [f"{value:g}" for value in owners.values() if value is not None] if len(owners) == 1 else []
        default = own.words or "".join(only) or self.default_in(command)
        return (own.help or self.help).format(owners=" and ".join(owners), default=default)

    def tells_default(self, command: str) -> bool:
        """Tells whether the line of help in a command holds the default itself."""
        own = self.in_command(command) or SAME
        return "{default}" in (own.help or self.help)


def setting(default: Any, help: str, group: str, text: str = "", **more: Any) -> Any:
    """Makes a field of a dataclass with a :class:`Setting` beside it.

    ``more`` are attributes of that.
    """
    return dataclasses.field(default=default, metadata={"setting": Setting(help, group, text, **more)})


def table_of(record: type) -> dict[str, Setting]:
    """Collects name -> setting for the fields of a dataclass that :func:`setting` made."""
    found = {}
    for field in dataclasses.fields(record):
        declared = str(field.type).split(" | ")
        found[field.name] = dataclasses.replace(
            field.metadata["setting"],
            name=field.name,
            kind=KINDS[declared[0]],
            optional="None" in declared,
            default=field.default,
        )
    return found
