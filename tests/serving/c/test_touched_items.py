"""Models without users as C: lists of the runtime, bit for bit, for known users and for any list of items."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.runtime import MARK_POWERS, Recommender
from sparserec_np.serving.c.export import HEADER, write_c
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import without_seen
from tests.makers.served_models import make_fism_model
from tests.serving.c.test_export import (
    CC,
    CXX,
    IDS,
    NM,
    STRICT,
    build,
    fused,
    lists_of_c,
    needs_cc,
    run,
)


def served(model: ServedModel, dtype: str) -> Recommender:
    """What the lists have to be: of the model itself, or of its int8 file."""
    return Recommender(model.encode() if dtype == "float32" else pack(model, dtype))


def list_of_c(program: Path, n: int, touched: list[object]) -> tuple[list[str], list[float]]:
    rows = [line.split("\t") for line in run(program, str(n), *map(str, touched)).splitlines()]
    return [item for item, _ in rows], [float(np.float32(score)) for _, score in rows]


def list_of_runtime(recommender: Recommender, n: int, touched: list[object]) -> tuple[list[str], list[float]]:
    items, scores = recommender.recommend_for_items(touched, n)
    return [str(item) for item in items], scores


@needs_cc
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_items=st.sampled_from([1, 2, 50, 255, 256, 257, 700]),
    dim=st.sampled_from([1, 3, 16, 256, 257, 600, 2000]),
    density=st.sampled_from([0.0, 0.003, 0.05, 0.4, 1.0]),
    decimals=st.sampled_from([0, 8]),
    row_entries=st.sampled_from([1, 5, 64, 10_000]),
    n=st.sampled_from([1, 2, 7, 20, 1000]),
    dtype=st.sampled_from(["float32", "int8"]),
    item_ids=st.sampled_from(["range", "wide", "text"]),
    recency=st.sampled_from([0.0, 0.75]),
    power=st.sampled_from([None, *MARK_POWERS]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lists_for_items_are_those_of_the_runtime(
    n_items: int,
    dim: int,
    density: float,
    decimals: int,
    row_entries: int,
    n: int,
    dtype: str,
    item_ids: str,
    recency: float,
    power: float | None,
    seed: int,
) -> None:
    ids = IDS[item_ids](n_items)
    model = make_fism_model(
        row_entries,
        seed,
        recency=recency,
        marks=power is not None,
        mark_power=power or 0.0,
        n_items=n_items,
        dim=dim,
        density=density,
        decimals=decimals,
        item_ids=ids,
    )
    model = without_seen(replace(model, weights=model.weights.round(max(decimals, 1))))
    recommender, rng = served(model, dtype), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        write_c(model, folder, dtype)
        program = build(Path(folder))
        for count in (1, 3, 40):
            touched = ids[rng.integers(0, n_items, count)].tolist()  # some twice, in no order
            assert list_of_c(program, n, touched) == list_of_runtime(recommender, n, touched)


@needs_cc
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_users=st.integers(1, 20),
    n_items=st.sampled_from([1, 50, 257, 700]),
    dim=st.sampled_from([3, 16, 600]),
    density=st.sampled_from([0.0, 0.01, 0.4]),
    dtype=st.sampled_from(["float32", "int8"]),
    user_ids=st.sampled_from(["range", "bytes", "wide", "text"]),
    item_ids=st.sampled_from(["range", "text"]),
    recency=st.sampled_from([0.0, 0.75]),
    power=st.sampled_from([None, *MARK_POWERS]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lists_of_users_are_those_of_the_runtime(
    n_users: int,
    n_items: int,
    dim: int,
    density: float,
    dtype: str,
    user_ids: str,
    item_ids: str,
    recency: float,
    power: float | None,
    seed: int,
) -> None:
    """Users 2 and 5 have seen nothing."""
    model = make_fism_model(
        5,
        seed,
        recency=recency,
        marks=power is not None,
        mark_power=power or 0.0,
        n_users=n_users,
        n_items=n_items,
        dim=dim,
        density=density,
        user_ids=IDS[user_ids](n_users),
        item_ids=IDS[item_ids](n_items),
    )
    recommender = served(model, dtype)
    with tempfile.TemporaryDirectory() as folder:
        write_c(model, folder, dtype)
        found = lists_of_c(build(Path(folder)), 20, strangers=n_users > 2)
    assert len(found) == n_users
    for row in range(n_users):
        items, scores = recommender.recommend(recommender.user_ids[row], 20)
        assert found[str(recommender.user_ids[row])] == ([str(item) for item in items], scores)


@needs_cc
def test_of_entries_of_one_magnitude_the_lower_dimensions_stay(tmp_path: Path) -> None:
    dense = np.eye(50, 8, dtype=np.float32)
    dense[49] = [0, 2, -1, 1, 0, -2, 1, 2]
    model = make_fism_model(1)
    for entries in range(1, 9):
        told = {**model.metadata, "row_entries": str(entries)}
        model = without_seen(
            replace(
                model, items=SparseTable.from_dense(dense), weights=np.ones(50, np.float32), metadata=told
            )
        )
        write_c(model, tmp_path)
        found = list_of_c(build(tmp_path), 50, [49])
        assert found == list_of_runtime(served(model, "float32"), 50, [49])


@pytest.mark.skipif(not fused(), reason="no C compiler, or no processor known to fuse multiply and add")
@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_compiler_that_may_fuse_gives_the_same_bits(tmp_path: Path, dtype: str, marks: bool) -> None:
    n_items, density = (600, 0.2) if marks else (2000, 0.5)
    model = without_seen(make_fism_model(32, 4, n_items=n_items, dim=64, density=density, marks=marks))
    write_c(model, tmp_path, dtype)
    touched = list(range(0, n_items, 30))
    expected = list_of_runtime(served(model, dtype), 20, touched)
    assert list_of_c(build(tmp_path, *fused()), 20, touched) == expected
    # Left to itself it would not: otherwise this test could not fail.
    text = (tmp_path / HEADER).read_text().replace("fp-contract=off", "fp-contract=fast")
    (tmp_path / HEADER).write_text(text.replace("FP_CONTRACT OFF", "FP_CONTRACT ON"))
    if "-ffp-contract=fast" in fused():
        assert list_of_c(build(tmp_path, *fused()), 20, touched) != expected


@needs_cc
@pytest.mark.parametrize("kind", ["range", "wide", "text"])
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["3", "nothing"], 1, "unknown item nothing"),
        (["3", ""], 1, "unknown item"),
        (["3", "51"], 1, "unknown item 51"),
        (["3", "9999999999999999999999"], 1, "unknown item"),
        ([], 2, "usage"),
        (["3"], 2, "usage"),
        (["0", "1"], 2, "usage"),
        (["x", "1"], 2, "usage"),
        (["99999999", "1"], 2, "usage"),
        (["3", *["1"] * 1001], 2, "usage"),
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
    """A compiled program for each kind of item ids."""
    built = {}
    for kind in ("range", "wide", "text"):
        folder = tmp_path_factory.mktemp(kind)
        write_c(without_seen(make_fism_model(item_ids=IDS[kind](50))), folder)
        built[kind] = build(folder)
    return built


CALLS = """
#include "recommender.h"
#include "recommender.h"
#include <stdio.h>
int main(void)
{
    sparserec_scratch scratch;
    uint32_t items[5];
    uint32_t all[SPARSEREC_ITEMS];
    uint32_t touched[9] = {7, UINT32_MAX, 3, 7, SPARSEREC_ITEMS, 3, 3, 49, 7};
    uint32_t unknown[2] = {SPARSEREC_ITEMS, SPARSEREC_ITEMS + 1};
    float scores[5];
    size_t at, found, none;
    for (at = 0; at < SPARSEREC_ITEMS; at++)
        all[at] = (uint32_t)(SPARSEREC_ITEMS - 1 - at);
    none = sparserec_recommend_for_items(touched, 0, 5, items, scores, &scratch)
         + sparserec_recommend_for_items(touched, 9, 0, items, scores, &scratch)
         + sparserec_recommend_for_items(unknown, 2, 5, items, scores, &scratch)
         + sparserec_recommend_for_items(all, SPARSEREC_ITEMS, 5, items, scores, &scratch)
         + sparserec_find_item(1000) - SPARSEREC_ITEMS;
    for (at = 0; at < 2; at++) { /* the second time in order */
        found = sparserec_recommend_for_items(touched, 9, 5, items, scores, &scratch);
        printf("%lu %lu", (unsigned long)found, (unsigned long)none);
        for (found = 0; found < 5; found++)
            printf(" %lu %.9g", (unsigned long)items[found], (double)scores[found]);
        printf(" %lu %lu\\n", (unsigned long)sizeof(sparserec_scratch), (unsigned long)SPARSEREC_FLASH_BYTES);
    }
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
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("marks", [False, True])
def test_items_may_be_told_twice_in_any_order_and_be_unknown(
    tmp_path: Path, compiler: str, options: list[str], dtype: str, marks: bool
) -> None:
    model = without_seen(make_fism_model(dim=300, density=0.1, item_ids=IDS["bytes"](50), marks=marks))
    sizes = write_c(model, tmp_path, dtype)
    (tmp_path / "calls.c").write_text(CALLS)
    done = subprocess.run(
        [compiler, *options, *STRICT, "-o", "calls", "calls.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    recommender = served(replace(model, item_ids=np.arange(50)), dtype)
    expected = recommender.recommend_for_items([3, 7, 49], 5)
    for line in run(tmp_path / "calls").splitlines():
        found, none, *pairs, scratch, flash = line.split()
        assert (found, none, int(scratch), int(flash)) == ("5", "0", sizes["scratch"], sizes["flash"])
        assert list(map(int, pairs[0::2])) == expected.items
        assert [float(np.float32(score)) for score in pairs[1::2]] == expected.scores


@pytest.mark.skipif(CC is None or NM is None, reason="no C compiler, or no nm, was found")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_flash_bytes_are_those_in_the_program(tmp_path: Path, dtype: str) -> None:
    model = without_seen(make_fism_model(n_items=600, dim=400, density=0.01))
    sizes = write_c(model, tmp_path, dtype)
    program = build(tmp_path, "-std=c99", "-O0")
    symbols = subprocess.run([str(NM), "-S", program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in symbols.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] == "r" and fields[3].startswith("sparserec_"):
            found[fields[3].removeprefix("sparserec_")] = int(fields[1], 16)
    assert sum(found.values()) == sizes["flash"]
    # What the file takes for the same, but for the ends, which C always has.
    arrays = pack(model, dtype).arrays
    assert sizes["weights"] == sum(array.nbytes for name, array in arrays.items() if "weights" in name)
    assert found["item_steps"] == arrays["items.steps"].nbytes
    assert found["item_values"] == arrays["items.values"].nbytes
    assert found["item_ends"] == -(-(600 + model.items.nnz) // 8)
    assert sizes["scratch"] == 4 * 400 + 8 * 5


@needs_cc
@pytest.mark.parametrize(
    ("dtype", "power", "own"), [("float32", 0.375, 4 * 70), ("int8", 0.125, 4 * 70), ("int8", 0.0, 0)]
)
def test_pairs_take_a_bit_for_each_item_and_no_library(
    tmp_path: Path, dtype: str, power: float, own: int
) -> None:
    """Beside the weights of all items stand the factors of marks: of as many, or of each level."""
    model = without_seen(make_fism_model(5, n_items=70, dim=9, marks=True, mark_power=power))
    sizes = write_c(model, tmp_path, dtype)
    assert sizes["scratch"] == 4 * (9 + 70) + 8 * 5 + 4 * 3
    arrays = pack(model, dtype).arrays
    weights = sum(array.nbytes for name, array in arrays.items() if name.startswith("weights"))
    assert sizes["weights"] == weights + own
    source = (tmp_path / HEADER).read_text()
    assert "math.h" not in source and "sqrt" not in source
    assert list_of_c(build(tmp_path), 70, [3, 69]) == list_of_runtime(served(model, dtype), 70, [3, 69])
