"""``--resume``: commands that train go on after a stop, and say what they need to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.resuming import NEVER, Duration
from sparserec_np.training.checkpoints import Checkpoint, CheckpointFile
from sparserec_np.training.run_directory import CHECKPOINT

QUICK = "--dim 8 --density 0.3 --epochs 3 --evaluate-every 1 --threads 1"
SPECTRAL = f"--model mf --start spectral --learning-rate 0.01 {QUICK}"
SIMULATED = "--simulate --dim 8 --density 0.3 --threads 1 --asked 0.3 --silent 0.2 --late 0.2 --gone 0.1"
# Command -> the words of one that trains into {out}, each checkpoint kept.
COMMANDS = {
    "train": f"train {{data}} -o {{out}} {SPECTRAL}",
    "chosen": "train {data} -o {out} --epochs 2 --threads 1 --density 0.3",
    "features": f"train {{data}} -o {{out}} {SPECTRAL} --item-features {{tags}}",
    "update": "update {run} {more} -o {out} --epochs 3 --threads 1",
    "distill": f"distill {{run}} {{data}} -o {{out}} --validation 0.2 --learning-rate 0.01 {QUICK}",
    "federate": f"federate {{data}} -o {{out}} {SIMULATED}",
    "better": f"federate {{data}} -o {{out}} --no-refit {SIMULATED}",
    "gradients": f"federate {{data}} -o {{out}} --protocol gradients --validation 0 {SIMULATED}",
}


class Killed(BaseException):
    """The process is gone."""


def call(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    for name, users in (("data", 60), ("more", 70)):
        numbers = f"--users {users} --items 40 --interactions 900 --seed {users}"
        assert call(f"data generate {folder}/{name}.csv {numbers}").exit_code == 0
    (folder / "tags.tsv").write_text("".join(f"{item}\ttag{item % 3}\n" for item in range(45)))
    assert call(f"train {folder}/data.csv -o {folder}/run {SPECTRAL} --json").exit_code == 0
    places = {name: folder / f"{name}.csv" for name in ("data", "more")}
    return {**places, "run": folder / "run", "tags": folder / "tags.tsv"}


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Runs a command, killed right after a checkpoint of that number; returns how many there were."""
    plain = CheckpointFile._write

    def run(line: str, at: int) -> int:
        count = 0

        def write(self: CheckpointFile, *state: Any) -> None:
            nonlocal count
            plain(self, *state)
            count += 1
            if count == at:
                raise Killed

        with monkeypatch.context() as patcher:
            patcher.setattr(CheckpointFile, "_write", write)
            with contextlib.suppress(Killed):
                assert call(f"{line} --checkpoint-every 0").exit_code == 0
        return count

    return run


def model(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def records(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{name: one for name, one in json.loads(line).items() if "second" not in name} for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on_to_the_same_bytes(
    name: str, made: dict[str, Path], killed: Callable[..., int], tmp_path: Path
) -> None:
    words = COMMANDS[name]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    last = killed(words.format(out=whole, **made), 0)
    assert last > 2 and not (whole / CHECKPOINT).exists()
    for at in (1, last // 2, last):
        shutil.rmtree(stopped, ignore_errors=True)
        assert killed(words.format(out=stopped, **made), at) == at
        assert (stopped / CHECKPOINT).exists() and not (stopped / "model.safetensors").exists()
        done = call(f"{words.split()[0]} --resume {stopped} --threads 2")
        assert done.exit_code == 0, done.output
        assert model(stopped) == model(whole)
        assert (stopped / "config.json").read_bytes() == (whole / "config.json").read_bytes()
        assert records(stopped) == records(whole)
        assert sorted(os.listdir(stopped)) == sorted(os.listdir(whole))


def test_a_stopped_training_is_neither_lost_nor_mistaken(
    made: dict[str, Path], killed: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    line = COMMANDS["train"].format(out=run, **made)
    killed(line, 2)
    again = call(line)
    assert again.exit_code == 2
    assert f"go on with `sparserec train --resume {run}`, or say --overwrite" in again.stderr
    for words, code, said in (
        (f"train --resume {run} --dim 4", 2, "leave out --dim, or begin anew"),
        (f"train {made['data']} --resume {run}", 2, f"leave out {made['data']}"),
        (
            f"update --resume {run}",
            2,
            f"begun by another command: go on with `sparserec train --resume {run}`",
        ),
        (f"train --resume {made['run']}", 2, "holds no checkpoint"),
        (f"train --resume {tmp_path}/none", 2, "none is no folder"),
        (f"train --resume {run} --checkpoint-every soon", 2, "expected one such as 30s, 5m or 2h, or never"),
        ("train --resume", 2, "requires an argument"),
    ):
        done = call(words)
        assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert call(f"train --resume {run} --help").exit_code == 0
    moved = tmp_path / "moved"
    run.rename(moved)
    begun = Checkpoint.load(str(moved / CHECKPOINT)).request
    killed(f"train --resume {moved} --threads 2", 1)
    assert Checkpoint.load(str(moved / CHECKPOINT)).request == begun  # however often it goes on
    assert call(f"train --resume={moved} --json").exit_code == 0
    assert not (moved / CHECKPOINT).exists()


def test_a_checkpoint_outlasts_what_stops_a_training_and_no_error(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = COMMANDS["train"].format(out=tmp_path / "run", **made) + " --checkpoint-every 0"
    plain = CheckpointFile._write

    def write(self: CheckpointFile, *state: Any) -> None:
        plain(self, *state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patcher:
        patcher.setattr(CheckpointFile, "_write", write)
        stopped = call(line)
    assert stopped.exit_code == 0
    assert (
        f"is saved in {tmp_path}/run. Go on with `sparserec train --resume {tmp_path}/run`." in stopped.stderr
    )
    before = model(tmp_path / "run")
    assert call(f"train --resume {tmp_path}/run").exit_code == 0
    whole = tmp_path / "whole"
    assert call(COMMANDS["train"].format(out=whole, **made)).exit_code == 0
    assert model(tmp_path / "run") == model(whole) != before
    failing = f"train {made['data']} -o {tmp_path}/failed --model mf {QUICK} --checkpoint-every 0"
    failed = call(f"{failing} --optimizer sgd --learning-rate 1e30 --validation 0")
    assert failed.exit_code == 1 and "diverged" in failed.stderr
    assert not (tmp_path / "failed" / CHECKPOINT).exists()


def test_other_data_than_those_of_the_checkpoint_are_refused_and_it_stays(
    made: dict[str, Path], killed: Callable[..., int], tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    shutil.copy(made["data"], data)
    line = COMMANDS["train"].format(out=tmp_path / "run", **{**made, "data": data})
    killed(line, 2)
    shutil.copy(made["more"], data)
    done = call(f"train --resume {tmp_path}/run")
    assert done.exit_code == 1 and "the interactions are others than those" in done.stderr
    shutil.copy(made["data"], data)
    assert call(f"train --resume {tmp_path}/run --keep-checkpoints").exit_code == 0
    assert (tmp_path / "run" / CHECKPOINT).exists()


def test_files_are_looked_for_where_the_training_was_begun(
    made: dict[str, Path], killed: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    killed(COMMANDS["train"].format(out="near", **made), 2)
    monkeypatch.chdir(made["data"].parent)  # where RUN is called otherwise, and the data are the same
    assert call(f"train --resume {tmp_path}/near").exit_code == 0
    killed(COMMANDS["train"].format(out=tmp_path / "run", **{**made, "data": "data.csv"}), 2)
    monkeypatch.chdir(tmp_path)
    done = call(f"train --resume {tmp_path}/run")
    assert done.exit_code == 1
    assert f"'data.csv' is not here; the training was begun in {made['data'].parent}" in done.stderr
    monkeypatch.chdir(made["data"].parent)
    assert call(f"train --resume {tmp_path}/run").exit_code == 0


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("1.5m", 90), ("2h", 7200), ("30s", 30), ("never", NEVER)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "-1", "nan", "inf", "1e400"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        Duration().convert(text, None, None)
