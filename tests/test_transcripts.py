"""What README.md and docs/ show of the command is what it prints; a block that went stale is found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.runs import SUMS, made_with
from tests.makers.transcripts import STAND_INS, Call, blocks, difference, rewritten, scattered, stale
from tests.test_documents import PAGES, read

SHOWING = [page for page in PAGES if "```console\n" in read(page)]
DESCRIBED = """# A page

<!-- shown: after
sparserec data generate log.csv --users 30 --items 20 --interactions 200
-->
```console
$ sparserec data convert log.csv log.tsv
file     format  users  items  interactions
-------  ------  -----  -----  ------------
log.tsv  tsv        30     20           200
```
"""
MADE_UP = """<!-- shown: on lastfm; needs no-such-program
echo hidden
echo twice
-->
```console
$ echo one
one

$ echo two
```
"""


def same_machine() -> bool:
    """Whether numbers are rounded as where the pages were written."""
    import json

    return bool(made_with() == json.loads(SUMS.read_text())["made_with"])


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWING)
def test_what_a_page_shows_is_printed(page: str, tmp_path: Path) -> None:
    found = stale(read(page), tmp_path, by_shape=not same_machine())
    assert not found, "run `python -m tests.makers.transcripts PAGE`\n" + "\n\n".join(found)
    if page == "README.md":
        _run_python(page, tmp_path)
        _compare_with_quickstart(read(page), tmp_path)


def _run_python(page: str, folder: Path) -> None:
    """Runs the page's blocks of Python where its commands have left their files."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", read(page), flags=re.M | re.S))
    subprocess.run(
        [sys.executable, "-c", code.replace('save("run")', 'save("run-3")')], cwd=folder, check=True
    )


def _compare_with_quickstart(page: str, folder: Path) -> None:
    """Compares the figures in prose with those of the command that they are about."""
    from tests.makers.transcripts import printed

    said = "\n".join(printed("sparserec quickstart", folder))
    recall, popular, ours, full = re.findall(
        r"(?:Recall@20.*|popularity.*|tables|same size) +([\d.]+(?: kB)?)$", said, re.M
    )
    prose = " ".join(page.split())
    if same_machine():
        assert f"reaches a Recall@20 of {recall} on" in prose and f"alone reaches {popular}." in prose
    assert f"Its tables take {ours}; a full table of the same size takes {full}." in prose


@pytest.mark.parametrize("page", SHOWING)
def test_blocks_say_which_data_they_are_on(page: str) -> None:
    found = list(blocks(read(page)))
    assert len(found) == read(page).count("```console\n")
    assert {name for block in found for name in block.data} <= STAND_INS.keys()
    for name in {name for block in found for name in block.data}:
        made = {"ml-100k": "MovieLens", "gowalla": "gowalla"}.get(name, "LastFM")
        assert made in read(page), f"{page} does not say where {name} is from"


@pytest.mark.parametrize("page", SHOWING)
def test_tables_are_aligned_as_they_are_printed(page: str) -> None:
    assert not [
        name for block in blocks(read(page)) for call in block.calls for name in scattered(call.shown)
    ]


def test_a_stale_block_is_found(tmp_path: Path) -> None:
    for number, (old, new) in enumerate(
        {"  200\n": "  201\n", "log.tsv  tsv ": "log.tsv  csv ", "": ""}.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = stale(DESCRIBED.replace(old, new, 1), folder)
        assert len(found) == (old != new)
        assert all("data convert" in one and "printed, and not shown: log.tsv" in one for one in found)
    again = tmp_path / "again"
    again.mkdir()
    assert rewritten(DESCRIBED.replace("  200\n", "  201\n"), again, None) == DESCRIBED


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="false"):
        stale("```console\n$ false\n```\n", tmp_path)


def test_marks_of_blocks_are_read(tmp_path: Path) -> None:
    (block,) = blocks(MADE_UP)
    assert block.calls == [Call("echo one", ["one"], 6), Call("echo two", [], 9)]
    assert (block.data, block.before, block.by_shape) == (["lastfm"], ["echo hidden", "echo twice"], True)
    assert not block.runs_here() and not stale(MADE_UP, tmp_path)
    with pytest.raises(ValueError, match="'sometimes' is no mark"):
        list(blocks("<!-- shown: sometimes -->\n```console\n$ ls\n```\n"))
    with pytest.raises(ValueError, match="begins with"):
        list(blocks("```console\nls\n```\n"))


@pytest.mark.parametrize(
    ("shown", "now", "by_shape", "differs"),
    [
        ("a\n...\nc", "a\nb\nb\nc", False, False),
        ("a\n...", "b\na", False, True),
        ("seconds    1.5", "seconds    2.25", False, False),
        ("stored entries  1", "stored entries  2", False, True),
        ("stored entries  1", "stored entries  20,000", True, False),
        ("stored entries  1", "entries stored  1", True, True),
        ('{"user": 1, "items": []}', '{"user": 2, "items": [3]}', True, False),
        ('{"user": 1}', '{"user": 1, "n": 2}', True, True),
        ("metric  @10\n------  ---\nndcg    0.1", "metric  @10\n------  ---\nndcg    0.2", True, False),
        ("metric  @10\n------  ---\nndcg    0.1", "metric  @10\n------  ---\nmap     0.2", True, True),
        ("users   n\n------  -\n29,858  1", " users  n\n------  -\n29,858  1", True, True),
        ("bytes: ids  4,684 (4.7 kB)", "bytes: ids  420", True, False),
    ],
)
def test_what_is_shown_is_compared(shown: str, now: str, by_shape: bool, differs: bool) -> None:
    assert bool(difference(shown.splitlines(), now.splitlines(), by_shape)) == differs
