"""The model as C: compiled without a warning, it gives the lists of the runtime and of the kernels, bit for bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled import ranking
from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving.c.export import HEADER, MAIN, MAKEFILE, write_c
from sparserec_np.serving.model_file import ServedModel
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model, make_ridge_model

CC, CXX, NM, MAKE = (shutil.which(name) for name in ("cc", "c++", "nm", "make"))
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
C99 = ["-std=c99", "-O2"]
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler was found: there is no cc on the path")

POPULAR_INSTEAD = "no interactions: the items that most users touched, all with the score 0\n"
Lists = dict[str, tuple[list[str], list[float]]]


def build(folder: Path, *flags: str) -> Path:
    """Compiles ``main.c``; lists may be as long as there are items."""
    program = folder / "recommend"
    options = [*(flags or C99), *STRICT, "-DMOST_ITEMS=20000"]
    done = subprocess.run(
        [str(CC), *options, "-o", program, folder / MAIN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *words: str, said: str = "") -> str:
    done = subprocess.run([program, *words], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == said
    return done.stdout


def lists_of_c(program: Path, n: int, strangers: bool = False) -> Lists:
    """User id -> item ids and scores, as the program prints them for everybody."""
    lists = {}
    for line in run(program, "-", str(n), said=POPULAR_INSTEAD * strangers).removesuffix("\n").split("\n"):
        user, *rest = line.split("\t")
        lists[user] = (rest[0::2], [float(np.float32(score)) for score in rest[1::2]])
    return lists


def lists_of_runtime(model: ServedModel, n: int) -> Lists:
    recommender = Recommender(model.encode())
    lists = {}
    for row in range(model.users.rows):
        items, scores = recommender.recommend(recommender.user_ids[row], n)
        lists[str(recommender.user_ids[row])] = ([str(item) for item in items], scores)
    return lists


def lists_of_kernels(model: ServedModel, n: int) -> Lists:
    rows = np.arange(model.users.rows, dtype=np.int32)
    items, scores = np.empty((len(rows), n), np.int32), np.empty((len(rows), n), np.float32)
    by_dimension = model.items.by_column(model.dim)
    ranking.top_items(
        model.users,
        by_dimension,
        model.items.rows,
        model.seen_indptr,
        model.seen_items,
        rows,
        items,
        scores,
    )
    lists = {}
    for row in rows.tolist():
        kept = items[row] >= 0
        best = model.item_ids[items[row][kept]]
        lists[str(model.user_ids[row])] = ([str(item) for item in best.tolist()], scores[row][kept].tolist())
    return lists


IDS: dict[str, Any] = {
    "range": np.arange,
    "bytes": lambda n: (np.arange(n) * 3) % 251 - 100,
    "wide": lambda n: np.concatenate(([2**63 - 1, -(2**63)], np.arange(n) * 10**10))[:n],
    "text": lambda n: np.array([f"Größe {i}" for i in range(n)]),
}


@needs_cc
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_users=st.integers(1, 20),
    n_items=st.sampled_from([1, 2, 50, 255, 256, 257, 700]),
    dim=st.sampled_from([1, 3, 16, 256, 300]),
    density=st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    decimals=st.sampled_from([0, 8]),
    n=st.sampled_from([1, 2, 7, 20, 1000]),
    user_ids=st.sampled_from(["range", "bytes", "wide", "text"]),
    item_ids=st.sampled_from(["range", "wide", "text"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_list_is_that_of_the_runtime_and_of_the_kernels(
    n_users: int,
    n_items: int,
    dim: int,
    density: float,
    decimals: int,
    n: int,
    user_ids: str,
    item_ids: str,
    seed: int,
) -> None:
    model = make_model(
        n_users,
        n_items,
        dim,
        density,
        seed,
        user_ids=IDS[user_ids](n_users),
        item_ids=IDS[item_ids](n_items),
        decimals=decimals,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_c(model, folder)
        found = lists_of_c(build(Path(folder)), n)
    assert found == lists_of_runtime(model, n)
    assert found == lists_of_kernels(model, n)


def fused() -> list[str]:
    """Options under which this compiler would fuse multiplications and additions, empty where it cannot."""
    if CC is None:
        return []
    options = ["-std=gnu99", "-O3", "-mfma"]
    version = subprocess.run([CC, "--version"], capture_output=True, text=True, check=False).stdout
    if "clang" not in version:
        options.append("-ffp-contract=fast")
    try:
        fuses = "fma" in Path("/proc/cpuinfo").read_text().split()
    except OSError:
        fuses = False
    return options if fuses else []


@pytest.mark.skipif(not fused(), reason="no C compiler, or no processor known to fuse multiply and add")
def test_a_compiler_that_may_fuse_gives_the_same_bits(tmp_path: Path) -> None:
    model = make_model(n_users=60, n_items=2000, dim=32, density=0.5, seed=4)
    write_c(model, tmp_path)
    expected = lists_of_runtime(model, 20)
    assert lists_of_c(build(tmp_path, *fused()), 20) == expected
    # Left to itself it would not: otherwise this test could not fail.
    text = (tmp_path / HEADER).read_text().replace("fp-contract=off", "fp-contract=fast")
    (tmp_path / HEADER).write_text(text.replace("FP_CONTRACT OFF", "FP_CONTRACT ON"))
    if "-ffp-contract=fast" in fused():
        assert lists_of_c(build(tmp_path, *fused()), 20) != expected


@needs_cc
def test_a_model_of_some_size_in_every_width(tmp_path: Path) -> None:
    """More than 65,536 item entries need wider cursors; so many users that some share their best scores."""
    model = make_model(n_users=300, n_items=9000, dim=64, density=0.15, seed=6, decimals=1)
    assert model.items.nnz > 65_536
    sizes = write_c(model, tmp_path)
    assert sizes["scratch"] < 1500  # and not 4 bytes for each item
    found = lists_of_c(build(tmp_path), 20)
    assert found == lists_of_runtime(model, 20) == lists_of_kernels(model, 20)


@needs_cc
def test_nothing_left_to_recommend_is_an_empty_list(tmp_path: Path) -> None:
    model = make_model(n_users=1, n_items=3)
    everything = replace(model, seen_indptr=np.array([0, 3]), seen_items=np.arange(3, dtype=np.int32))
    write_c(everything, tmp_path)
    assert lists_of_c(build(tmp_path), 20) == {"0": ([], [])}


def with_a_gap(model: ServedModel) -> ServedModel:
    """The model, whose users 2 and 5 have no interactions, but rows."""
    kept = ~np.isin(np.repeat(np.arange(model.users.rows), np.diff(model.seen_indptr)), [2, 5])
    before = np.concatenate(([0], np.cumsum(kept)))
    return replace(model, seen_indptr=before[model.seen_indptr], seen_items=model.seen_items[kept])


@needs_cc
@pytest.mark.parametrize("n", [3, 50, 70])
def test_who_touched_nothing_gets_what_is_popular_and_is_told_so(tmp_path: Path, n: int) -> None:
    model = with_a_gap(make_model())
    sizes = write_c(model, tmp_path)
    assert sizes["popular"] == 50
    program = build(tmp_path)
    assert lists_of_c(program, n, strangers=True) == lists_of_runtime(model, n)
    assert len(run(program, "5", str(n), said=POPULAR_INSTEAD).splitlines()) == min(n, 50)
    run(program, "6", str(n))


def test_where_everybody_touched_something_nothing_is_written_for_others(tmp_path: Path) -> None:
    assert "popular" not in write_c(make_model(), tmp_path)
    assert "stranger" not in (tmp_path / HEADER).read_text() + (tmp_path / MAIN).read_text()


@needs_cc
@pytest.mark.parametrize("kind", ["wide", "text"])
def test_the_program_answers_for_one_user_and_for_all(tmp_path: Path, kind: str) -> None:
    model = make_model(user_ids=IDS[kind](30), item_ids=IDS[kind](50))
    write_c(model, tmp_path)
    program = build(tmp_path)
    everybody = run(program)
    assert everybody == run(program, "-") == run(program, "-", "20")
    assert len(everybody.splitlines()) == 30
    for user, (items, scores) in lists_of_runtime(model, 3).items():
        rows = [line.split("\t") for line in run(program, user, "3").splitlines()]
        assert [(item, float(np.float32(score))) for item, score in rows] == list(
            zip(items, scores, strict=True)
        )


@needs_cc
@pytest.mark.parametrize("kind", ["range", "wide", "text"])
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nobody"], 1, "unknown user nobody"),
        ([""], 1, "unknown user"),
        (["31", "3"], 1, "unknown user 31"),
        (["9999999999999999999999"], 1, "unknown user"),
        (["-", "0"], 2, "usage"),
        (["-", "x"], 2, "usage"),
        (["-", "99999999"], 2, "usage"),
        (["-", "3", "4"], 2, "usage"),
    ],
)
def test_the_program_says_what_is_wrong(
    programs: dict[str, Path], kind: str, words: list[str], code: int, sentence: str
) -> None:
    done = subprocess.run([programs[kind], *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A compiled program for each kind of user ids."""
    built = {}
    for kind in ("range", "wide", "text"):
        folder = tmp_path_factory.mktemp(kind)
        write_c(make_model(user_ids=IDS[kind](30)), folder)
        built[kind] = build(folder)
    return built


COUNT = """
#include "recommender.h"
#include "recommender.h"
#include <stdio.h>
int main(void)
{
    sparserec_scratch scratch;
    uint32_t items[5];
    float scores[5];
    size_t found = sparserec_recommend(0, 5, items, scores, &scratch);
    size_t none = sparserec_recommend(SPARSEREC_USERS, 5, items, scores, &scratch)
                + sparserec_recommend(0, 0, items, scores, &scratch);
    printf("%lu %lu %lu %lu\\n", (unsigned long)found, (unsigned long)none,
           (unsigned long)sizeof(sparserec_scratch), (unsigned long)SPARSEREC_FLASH_BYTES);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        pytest.param(CC, ["-x", "c", "-std=c99"], marks=needs_cc, id="c99"),
        pytest.param(
            CXX,
            ["-x", "c++", "-std=c++11"],
            marks=pytest.mark.skipif(CXX is None, reason="no C++ compiler was found"),
            id="c++11",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "wide", "text"])
def test_the_header_stands_in_c_and_cpp_and_may_be_included_twice(
    tmp_path: Path, compiler: str, options: list[str], kind: str
) -> None:
    sizes = write_c(make_model(user_ids=IDS[kind](30), item_ids=IDS[kind](50)), tmp_path)
    (tmp_path / "count.c").write_text(COUNT)
    done = subprocess.run(
        [compiler, *options, *STRICT, "-o", "count", "count.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert run(tmp_path / "count").split() == ["5", "0", str(sizes["scratch"]), str(sizes["flash"])]


@pytest.mark.skipif(CC is None or NM is None, reason="no C compiler, or no nm, was found")
@pytest.mark.parametrize("kind", ["range", "bytes", "text"])
def test_the_flash_bytes_are_those_in_the_program(tmp_path: Path, kind: str) -> None:
    model = make_model(n_items=600, user_ids=IDS[kind](30))
    sizes = write_c(model, tmp_path)
    program = build(tmp_path, "-std=c99", "-O0")
    symbols = subprocess.run([str(NM), "-S", program], capture_output=True, text=True, check=True).stdout
    found: dict[str, int] = {}
    for line in symbols.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] == "r" and fields[3].startswith("sparserec_"):
            found[fields[3].removeprefix("sparserec_")] = int(fields[1], 16)
    assert sum(found.values()) == sizes["flash"]
    for group, names in {
        "users": ("user_starts", "user_dimensions", "user_values"),
        "items": ("item_starts", "item_numbers", "item_values"),
        "seen": ("seen_starts", "seen_items"),
    }.items():
        assert sum(found.pop(name) for name in names) == sizes[group]
    assert sum(found.values()) == sizes["ids"]
    # In the narrowest types: fewer than 256 entries of users, more of items, more than 256 items.
    assert sizes["users"] == 31 + 5 * model.users.nnz
    assert sizes["items"] == 2 * 9 + 6 * model.items.nnz
    assert sizes["seen"] == 2 * (31 + len(model.seen_items))


@pytest.mark.skipif(CC is None or MAKE is None, reason="no C compiler, or no make, was found")
def test_make_builds_the_program(tmp_path: Path) -> None:
    write_c(make_model(), tmp_path)
    subprocess.run([str(MAKE), "-s"], cwd=tmp_path, check=True)
    assert len(run(tmp_path / "recommend", "3", "4").splitlines()) == 4


def test_lines_are_no_longer_than_c99_allows_and_plain_ascii(tmp_path: Path) -> None:
    write_c(make_model(user_ids=IDS["wide"](30), item_ids=IDS["text"](50)), tmp_path)
    for name in (HEADER, MAIN, MAKEFILE):
        assert max(map(len, (tmp_path / name).read_bytes().decode("ascii").splitlines())) < 1000


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_c(make_model(), tmp_path / name)
    for name in (HEADER, MAIN, MAKEFILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("there", [True, False])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    folder = tmp_path / "c"
    if there:
        write_c(make_model(seed=1), folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_c(make_model(seed=2), folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    assert folder.exists() == there


@pytest.mark.parametrize("name", ["users", "items"])
def test_a_model_without_rows_is_refused(tmp_path: Path, name: str) -> None:
    empty = SparseTable(np.zeros(1, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.float32))
    model = replace(
        make_model(n_users=0) if name == "users" else make_model(n_users=1),
        **{name: empty, f"{name[:-1]}_ids": np.arange(0)},
    )
    if name == "items":
        model = replace(model, seen_indptr=np.zeros(2, np.int64), seen_items=np.zeros(0, np.int32))
    with pytest.raises(ArtifactError, match=f"the model has no {name}"):
        write_c(model, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_model_that_is_not_sound_is_refused(tmp_path: Path) -> None:
    model = make_model()
    model.users.values[0] = np.nan
    with pytest.raises(ArtifactError, match=r"users\.values"):
        write_c(model, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_other_models_are_refused_and_other_types_of_values(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the scores of mf, popularity, itemknn, fism;"):
        write_c(as_lightgcn(make_model()), tmp_path / "c")
    with pytest.raises(ArtifactError, match="asked for in int8, but C source holds users' rows in float32"):
        write_c(make_model(), tmp_path / "c", "int8")
    with pytest.raises(ArtifactError, match="asked for in float16, .*: expected float32 or int8"):
        write_c(make_fism_model(), tmp_path / "c", "float16")
    assert not (tmp_path / "c").exists()


def test_rows_that_are_solved_for_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="user_rows is 'ridge': the C function solves for no rows"):
        write_c(make_ridge_model(), tmp_path / "c")
