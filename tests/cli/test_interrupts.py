"""Ctrl-C in a command, also where something swallows it or makes another error of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli import main
from cli.interrupts import Interrupts, check_interrupts, held_interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")


def press(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)
    raise AssertionError("the signal came too late")


def run(action: Callable[[], None]) -> Result:
    """A command of the root group that does this."""
    group = main.Root("sparserec")
    group.get_command = lambda ctx, name: click.Command("train", callback=action)  # type: ignore[method-assign]
    return CliRunner().invoke(group, ["train"])


def swallowed() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        press()


def into_another_error() -> None:
    swallowed()
    raise RuntimeError("no compiled object yet")


def noticed_later() -> None:
    swallowed()
    check_interrupts()
    raise AssertionError("unreachable")


@pytest.mark.parametrize("action", [press, into_another_error, noticed_later])
def test_ctrl_c_ends_the_command_in_a_word(action: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    done = run(action)
    assert done.exit_code == main.SIGNALLED + signal.SIGINT
    assert done.stderr.strip() == "Interrupted." and done.stdout == ""
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_is_as_ctrl_c(name: str) -> None:
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it is ignored
    try:
        done = run(lambda: press(number))
        assert done.exit_code == main.SIGNALLED + number
        assert done.stderr.strip() == "Interrupted."
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_being_saved_is_saved_first() -> None:
    said = []

    def save() -> None:
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
            said.append("saved")
        check_interrupts()

    assert run(save).exit_code == main.SIGNALLED + signal.SIGTERM and said == ["saved"]


def test_a_compiler_is_not_interrupted_but_left_to_end(tmp_path: Path) -> None:
    said: list[str] = []
    source = "def work():\n    kill()\n    for _ in range(30):\n        sleep(0.005)\n    said.append('compiled')\n"
    inside = {"said": said, "sleep": time.sleep, "kill": lambda: os.kill(os.getpid(), signal.SIGTERM)}
    exec(compile(source, str(tmp_path / "numba" / "core.py"), "exec"), inside)

    def action() -> None:
        inside["work"]()  # type: ignore[operator]
        for _ in range(100):
            time.sleep(0.01)
        said.append("too late")

    done = run(action)
    assert done.exit_code == main.SIGNALLED + signal.SIGTERM and said == ["compiled"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_signal_ends_a_compiler(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\nfrom cli.interrupts import Interrupts\n"
        "source = 'def work():\\n    for n in range(2):\\n        os.kill(os.getpid(), signal.SIGTERM)\\n"
        "        print(n, flush=True)'\nspace = {'os': os, 'signal': signal}\n"
        "exec(compile(source, os.path.join(os.sep, 'numba', 'core.py'), 'exec'), space)\n"
        "with Interrupts():\n    space['work']()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM and done.stdout == "0\n" and not done.stderr


def test_a_second_signal_ends_the_process_where_it_is() -> None:
    code = (
        "import os, signal\nfrom cli.interrupts import Interrupts\nwith Interrupts() as interrupts:\n"
        "    with interrupts.held():\n        os.kill(os.getpid(), signal.SIGINT)\n        print('held', flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n        print('too late', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM and done.stdout == "held\n" and not done.stderr


def test_ctrl_c_while_the_command_is_imported_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")  # as it comes in the middle of an import
    done = subprocess.run(
        [sys.executable, "-m", "cli"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    assert done.returncode == 130 and done.stderr.strip() == "Interrupted."


def test_a_command_that_saves_what_it_has_is_a_success() -> None:
    assert run(swallowed).exit_code == 0


def test_without_ctrl_c_nothing_is_hidden() -> None:
    def fail() -> None:
        check_interrupts()
        raise RuntimeError("a bug")

    assert isinstance(run(fail).exception, RuntimeError)


def test_an_interrupt_that_cannot_be_raised_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    class Noisy:
        def __del__(self) -> None:
            press()

    with Interrupts() as interrupts:
        noisy = Noisy()
        del noisy
        assert interrupts.asked
    assert capsys.readouterr().err == ""


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.asked
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
