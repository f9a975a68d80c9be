"""The root command: help, unknown commands, exit codes, and what is not loaded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import COMMANDS, SIGNALLED, Root
from cli.main import main as root
from sparserec_np.errors import ConfigError, DataError, SparseRecError

CHECKOUT = Path(__file__).parents[2]
HEAVY = ("numba", "llvmlite", "scipy", "sklearn")


def invoke_raising(error: BaseException) -> Result:
    """The result of a command of the same kind of group whose body raises ``error``."""

    class Failing(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            def body() -> None:
                raise error

            return click.Command("train", callback=body)

    return CliRunner().invoke(Failing("sparserec"), ["train"])


def modules_after(code: str) -> list[str]:
    """The heavy modules that a new interpreter holds after running ``code``."""
    report = (
        f"import sys, json; print(); print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded: list[str] = json.loads(done.stdout.splitlines()[-1])
    return loaded


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(root, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_short_help_and_described_options(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.get_short_help_str()
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in commands:
        undescribed = [p.name for p in each.params if isinstance(p, click.Option) and not p.help]
        assert not undescribed


def test_the_list_of_commands_says_whole_sentences() -> None:
    for words in (["--help"], ["data", "--help"]):
        listed = CliRunner().invoke(root, words).output.split("Commands:\n")[1]
        assert "..." not in listed and "…" not in listed


def test_version_is_the_library_s() -> None:
    import sparserec_np

    assert (
        CliRunner().invoke(root, ["--version"]).stdout == f"sparserec, version {sparserec_np.__version__}\n"
    )


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("recomend", "recommend"), ("docter", "doctor")]
)
def test_unknown_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    result = CliRunner().invoke(root, [typed])
    assert result.exit_code == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in result.stderr
    assert result.stdout == ""


def test_unknown_command_near_to_none_is_answered_with_all() -> None:
    result = CliRunner().invoke(root, ["zzz"])
    assert result.exit_code == 2
    assert ", ".join(COMMANDS) in result.stderr


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (DataError("no interactions"), "Error: no interactions", 1),
        (SparseRecError("not a model"), "Error: not a model", 1),
        (ConfigError("no such key"), "Error: no such key", 2),
        (
            FileNotFoundError(2, "No such file or directory", "x.csv"),
            "Error: x.csv: No such file or directory",
            1,
        ),
        (PermissionError(13, "Permission denied", "x.csv"), "Error: x.csv: Permission denied", 1),
        (MemoryError(), "Error: memory ran out", 1),
        (KeyboardInterrupt(), "Interrupted.", SIGNALLED + signal.SIGINT),
    ],
)
def test_errors_become_one_line_and_an_exit_code(error: BaseException, line: str, code: int) -> None:
    result = invoke_raising(error)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.strip().startswith(line)
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = CliRunner().invoke(root, ["train", str(tmp_path / "x.csv"), "-o", "run"])
    assert result.exit_code == 1
    assert result.stderr == "Error: The working directory is gone: change to a folder that is there\n"


def test_a_bug_keeps_its_traceback() -> None:
    result = invoke_raising(ZeroDivisionError("a bug"))
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_closed_pipe_is_no_error_message() -> None:
    result = invoke_raising(BrokenPipeError(32, "Broken pipe"))
    assert result.stderr == ""


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert modules_after("import sparserec_np") == []


@pytest.mark.parametrize(
    "module",
    [
        *("errors", "runtime", "data.table", "data.interactions", "data.formats", "data.splitting"),
        *("data.synthetic", "machine.memory", "machine.threads", "training.train", "models.lightgcn"),
        *("serving.packing", "evaluation.evaluate", "starts", "estimator"),
    ],
)
def test_importing_a_light_module_loads_nothing_heavy(module: str) -> None:
    assert modules_after(f"import sparserec_np.{module}") == []


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = f"from cli.main import main\ntry:\n    main({args!r})\nexcept SystemExit as end:\n    assert end.code == 0"
    assert modules_after(code) == []


def test_runs_as_a_module_in_a_checkout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--help"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "sparserec quickstart" in done.stdout
