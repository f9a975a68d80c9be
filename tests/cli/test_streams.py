"""Standard streams that are closed, full, left by their reader, or of another encoding: a sentence or silence."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sparserec_np import SparseRec, generate
from sparserec_np.data.interactions import Interactions

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")

USERS = ["Zoë", "Ольга", "日本", "plain"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of users and items that few encodings have, and the file it was trained on."""
    folder = tmp_path_factory.mktemp("日 é")
    log = generate(40, 30, 500, groups=3, seed=1)
    users = [f"{USERS[k % 4]}{k // 4}" for k in log.pair_users()]
    items = [f"предмет {k}" for k in log.items]
    (folder / "in.csv").write_text(
        "user,item\n" + "".join(f"{user},{item}\n" for user, item in zip(users, items, strict=True)),
        encoding="utf-8",
    )
    named = Interactions.from_pairs(users, items)
    SparseRec(model="mf", dim=8, density=0.5, epochs=1, learning_rate=0.01, start="spectral").fit(named).save(
        folder / "run"
    )
    return folder


def commands(place: Path) -> list[str]:
    run, data, new = (shlex.quote(str(place / name)) for name in ("run", "in.csv", "нов"))
    return [
        "--help",
        "train --help",
        "--version",
        f"data describe {data}",
        f"inspect {run}",
        f"evaluate {run} {data} --include-seen",
        f"recommend {run} --user Zoë0",
        f"recommend {run} --items 'предмет 3' --json",
        f"recommend {run} --user кто",
        f"recommend {run} --all-users -o -",
        f"similar {run} --user Ольга0",
        f"export {run} -o {new}.safetensors",
        f"inspect {new}",
        f"train {data} -o {new} --model popularity",
    ]


# By default a help page, a list and an error; the others take minutes.
NUMBERS = [
    number if number in (0, 6, 8) else pytest.param(number, marks=pytest.mark.slow) for number in range(14)
]


def shell(line: str, place: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    shutil.rmtree(place / "нов", ignore_errors=True)
    command = f"{shlex.quote(sys.executable)} -m cli {line}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def is_quiet(text: bytes) -> bool:
    return b"Traceback" not in text and b"Exception ignored" not in text and b"Error: None" not in text


@pytest.mark.parametrize("number", NUMBERS)
def test_no_encoding_ends_in_a_traceback(place: Path, number: int) -> None:
    line = commands(place)[number]
    plain = shell(line, place, PYTHONIOENCODING="utf-8")
    for encoding in ("cp1252", "ascii", "latin-1", "shift_jis", "utf-16"):
        done = shell(line, place, PYTHONIOENCODING=encoding)
        assert done.returncode == plain.returncode, (encoding, done.stderr)
        assert is_quiet(done.stdout + done.stderr), (encoding, done.stderr)


REDIRECTIONS = {
    ">/dev/full": 1,
    ">&-": 0,
    "<&-": 0,
    "2>&-": 0,
    "2>/dev/full": 0,
    ">/dev/full 2>&1": 1,
    ">&- 2>&- <&-": 0,
    "</dev/null": 0,
}


@pytest.mark.parametrize("number", NUMBERS)
def test_no_stream_ends_in_a_traceback(place: Path, number: int) -> None:
    line = commands(place)[number]
    usual = shell(line, place).returncode
    for redirection, code in REDIRECTIONS.items():
        done = shell(f"{line} {redirection}", place)
        assert done.returncode == (usual or code), (redirection, done.stderr)
        assert is_quiet(done.stdout + done.stderr), (redirection, done.stderr)
        if redirection == ">/dev/full" and not usual:
            (sentence,) = done.stderr.splitlines()[-1:]
            assert sentence.startswith(b"Error: ") and b"No space left on device" in sentence
    left = shell(f"{line} | head -c 1", place)
    assert left.returncode in (usual, 1) and is_quiet(left.stderr), left.stderr


@pytest.mark.parametrize("line", ["recommend {run} - <&-", "train - -o {new} <&-", "data describe - <&-"])
def test_a_closed_input_that_is_needed_is_named(place: Path, line: str) -> None:
    run, new = (shlex.quote(str(place / name)) for name in ("run", "нов"))
    done = shell(line.format(run=run, new=new), place)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard input: closed, so there is nothing to read; give it a file\n"
