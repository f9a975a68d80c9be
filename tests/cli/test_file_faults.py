"""Commands that write, killed or out of disk at each call that changes files, in turn."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from sparserec_np.training.run_directory import FILES, file_of
from tests.makers.faults import Faults, Killed

SMALL = "--dim 4 --density 0.5 --epochs 1 --learning-rate 0.01 --threads 1 --json"
TINY = f"{SMALL} --start spectral --validation 0"
# Command -> what writes before, and what writes in its place.
COMMANDS = {
    "train": (
        "train {data} -o {out} --model itemknn --json",
        "train {data} -o {out} --model popularity --overwrite",
    ),
    "export": ("export {run} -o {out} --json", "export {run} -o {out} --drop seen --json"),
    "convert": ("data convert {data} {out}.npz", "data convert {more} {out}.npz"),
    "text": ("data convert {data} {out}.csv", "data convert {more} {out}.csv"),
    "recommend": ("recommend {run} --all-users -n 3 -o {out}", "recommend {run} --all-users -n 4 -o {out}"),
}
SLOW = {
    "trained": (
        f"train {{data}} -o {{out}} --model mf {TINY}",
        f"train {{data}} -o {{out}} --model mf --seed 1 --overwrite {TINY}",
    ),
    "update": (
        f"train {{data}} -o {{out}} --model mf {TINY}",
        "update {trained} {more} -o {out} --overwrite --epochs 1 --threads 1 --json",
    ),
    "distill": (
        f"train {{data}} -o {{out}} --model mf {TINY}",
        f"distill {{trained}} {{data}} -o {{out}} --overwrite {SMALL}",
    ),
}


def call(line: str, faults: Faults | None = None) -> int:
    with pytest.MonkeyPatch.context() as patcher:
        if faults:
            faults.patch(patcher)
        return CliRunner().invoke(main, line.split()).exit_code


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, users in (("data", 60), ("more", 70)):
        numbers = f"--users {users} --items 40 --interactions 900 --seed {users}"
        assert call(f"data generate {folder}/{name}.csv {numbers}") == 0
    assert call(f"train {folder}/data.csv -o {folder}/run --model itemknn --json") == 0
    return folder


@pytest.mark.parametrize("kills", [True, False], ids=["killed", "full"])
@pytest.mark.parametrize("name", [*COMMANDS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_there_is_what_was_before_or_what_is_new(name: str, kills: bool, made: Path, tmp_path: Path) -> None:
    places = {
        "data": made / "data.csv",
        "more": made / "more.csv",
        "run": made / "run",
        "trained": made / "trained",
    }
    lines = [line.format(out=tmp_path / "out" / "x", **places) for line in {**COMMANDS, **SLOW}[name]]
    out = tmp_path / "out"
    out.mkdir()
    if name in SLOW and not (made / "trained").exists():
        assert call(f"train {made}/data.csv -o {made}/trained --model mf {TINY}") == 0
    assert call(lines[0]) == 0
    shutil.copytree(out, tmp_path / "kept")
    before = contents(out)
    assert call(lines[1]) == 0
    after, at, seen = contents(out), 0, set()
    assert before.keys() == after.keys() and before != after
    while True:
        at += 1
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "kept", out)
        faults = Faults(at, kills)
        with contextlib.suppress(Killed):
            code = call(lines[1], faults)
            assert kills or code == (0 if contents(out) == after else 1)
        faults.bury()
        if faults.count < at:
            break
        found = contents(out)
        assert found in (before, after)
        seen.add(found == after)
        assert call(lines[1]) == 0
        assert contents(out) == after and not list(out.rglob(".*"))
    assert at > 3 and seen == {False, True}


def contents(out: Path) -> dict[str, bytes]:
    """What a reader finds in a folder: its files without dots, a run's from where they are."""
    found = {}
    for folder, _, names in os.walk(out):
        inside = {*names} | ({*FILES} if os.path.basename(folder) == "x" else set())
        for name in inside:
            if not name.startswith(".") and "/." not in os.path.relpath(folder, out):
                found[os.path.join(os.path.relpath(folder, out), name)] = Path(
                    file_of(folder, name)
                ).read_bytes()
    return {name: _without_seconds(content) for name, content in found.items() if not name.startswith("./.")}


def _without_seconds(content: bytes) -> bytes:
    """Records say how long an epoch took, which is never the same."""
    lines = content.split(b"\n")
    if not lines[0].startswith(b'{"epoch"'):
        return content
    return b"\n".join(line.split(b'"loss"')[-1].split(b'"triplets')[0] for line in lines)
