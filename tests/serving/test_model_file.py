"""docs/model-file.md: it names all that is in the file, and a reader written from it reads the same model."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from sparserec_np import runtime
from sparserec_np.data import ids
from sparserec_np.runtime import DTYPES, Recommender
from sparserec_np.serving.model_file import ServedModel, empty_users, load_model, save_model
from sparserec_np.serving.packing import VALUES, pack, write_export
from sparserec_np.serving.slices import keep_users, without_seen
from tests.makers.served_models import make_fism_model, make_model

PAGE = (Path(__file__).parents[2] / "docs" / "model-file.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`]+)`", PAGE))
MODEL = make_model(user_ids=np.array([f"Größe {i}" for i in range(30)]), item_ids=np.arange(50) * 7)
FISM = make_fism_model(user_ids=np.array([f"Größe {i}" for i in range(30)]))
WIDE = make_model(dim=600, density=0.1)
WIDE_FISM = make_fism_model(n_items=400, dim=600, density=0.002)  # more weights than a byte has levels
DIGITS = {"F": "f", "I": "i", "U": "u"}


class ByThePage(NamedTuple):
    users: np.ndarray  # dense
    items: np.ndarray
    seen: list[list[int]]
    weights: list[float]


def read_by_the_page(data: bytes) -> ByThePage:
    """What a file holds, by the words of the page, one number at a time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")

    def take(name: str) -> list[Any]:
        kind = header[name]["dtype"]
        first, last = header[name]["data_offsets"]
        dtype = f"<{DIGITS[kind[0]]}{int(kind[1:]) // 8}"
        return np.frombuffer(data[8 + length + first : 8 + length + last], dtype).tolist()

    def lengths(name: str) -> list[int]:
        if f"{name}.lengths" in header:
            return take(f"{name}.lengths")
        if f"{name}.ends" in header:
            bits = "".join(f"{byte:08b}"[::-1] for byte in take(f"{name}.ends"))
            assert not bits.split("1")[-1].strip("0")
            return [len(zeros) for zeros in bits.split("1")[:-1]]
        bounds = take(f"{name}.indptr")
        return [end - start for start, end in zip(bounds[:-1], bounds[1:], strict=True)]

    def columns(name: str, counts: list[int]) -> list[int]:
        if f"{name}.steps" not in header:
            return take(f"{name}.columns")
        data, found = iter(take(f"{name}.steps")), []
        limit = 256 - max(math.ceil((int(metadata["dim"]) - 256) / 255), 0)
        for count in counts:
            column = -1
            for _ in range(count):
                step = next(data)
                column += 1 + (step if step < limit else limit + 256 * (step - limit) + next(data))
                found.append(column)
        assert next(data, None) is None
        return found

    def weights(counts: list[int]) -> list[float]:
        filled = sum(count > 0 for count in counts)
        if "weights.codes" in header:
            levels = take("weights.levels")
            stored = [levels[code] for code in take("weights.codes")]
        else:
            stored = take("weights") if "weights" in header else []
        if len(stored) != filled:
            return stored
        each = iter(stored)
        return [next(each) if count else 0.0 for count in counts]

    tables = []
    for name, rows in (("users", metadata["n_users"]), ("items", metadata["n_items"])):
        dense = np.zeros((int(rows), int(metadata["dim"])), np.float32)
        tables.append(dense)
        if name == "users" and metadata["model"] == "fism":
            continue
        entries = iter(zip(columns(name, lengths(name)), take(f"{name}.values"), strict=True))
        scales = np.array(take(f"{name}.scales"), np.float32) if f"{name}.scales" in header else None
        for row, count in enumerate(lengths(name)):
            for _ in range(count):
                column, value = next(entries)
                dense[row, column] = value if scales is None else scales[column] * np.float32(value)
    numbers_of_items = weights(lengths("items"))
    if metadata.get("seen") == "left out":
        return ByThePage(tables[0], tables[1], [], numbers_of_items)
    if "seen.gaps" in header:
        numbers, number, shift = [], 0, 0
        for byte in take("seen.gaps"):
            number |= byte % 128 << shift
            shift += 7
            if byte < 128:
                numbers.append(number)
                number, shift = 0, 0
        gaps, seen = iter(numbers), []
        for count in lengths("seen"):
            seen.append([])
            item = -1
            for _ in range(count):
                item += next(gaps) + 1
                seen[-1].append(item)
        return ByThePage(tables[0], tables[1], seen, numbers_of_items)
    items = iter(take("seen.items"))
    seen = [[next(items) for _ in range(count)] for count in lengths("seen")]
    return ByThePage(tables[0], tables[1], seen, numbers_of_items)


@pytest.mark.parametrize("dtype", [None, *VALUES])
@pytest.mark.parametrize("users", [30, 0])
@pytest.mark.parametrize("model", [MODEL, FISM, WIDE, WIDE_FISM], ids=["mf", "fism", "wide", "wide fism"])
def test_a_reader_written_from_the_page_reads_the_model(
    tmp_path: Path, dtype: str | None, users: int, model: ServedModel
) -> None:
    model = keep_users(model, np.arange(users))
    if dtype is None:
        save_model(tmp_path / "file", model)
    else:
        write_export(tmp_path / "file", pack(model, dtype))
    by_page = read_by_the_page((tmp_path / "file").read_bytes())
    found = Recommender.open(tmp_path / "file").model
    for table, dense in ((found.users, by_page.users), (found.items, by_page.items)):
        ours = np.zeros_like(dense)
        for row in range(len(dense)):
            columns, values = table.row(row)
            ours[row, columns] = values
        np.testing.assert_array_equal(ours, dense)
    bounds = model.seen_indptr.tolist()
    assert by_page.weights == found.weights.tolist()
    assert by_page.seen == [
        model.seen_items[a:b].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def test_the_page_s_example_of_gaps_is_right() -> None:
    gaps = runtime.decode_varints(np.frombuffer(bytes.fromhex("0300AB02"), np.uint8), 1000)
    assert gaps.tolist() == [3, 0, 299]
    assert (np.cumsum(gaps + 1) - 1).tolist() == [3, 4, 304]
    assert "`03 00 AB 02`" in PAGE


def test_the_page_s_example_of_steps_is_right() -> None:
    steps = runtime.decode_steps("steps", np.frombuffer(bytes.fromhex("07FE2609"), np.uint8), 512)
    assert steps.tolist() == [7, 292, 9]
    assert (np.cumsum(steps + 1) - 1).tolist() == [7, 300, 310]
    assert runtime.step_limit(512) == 254
    assert "`07 FE 26 09`" in PAGE


def test_users_who_are_not_stored_are_empty_rows_and_no_arrays(tmp_path: Path) -> None:
    save_model(tmp_path / "file", FISM)
    found = load_model(tmp_path / "file")
    assert not found.stores_users and list(found.tables) == ["items"]
    assert (found.users.rows, found.users.nnz) == (30, 0)
    assert empty_users(10**9, 8).rows == 10**9  # which would not fit into memory
    assert found.user_ids.tolist() == FISM.user_ids.tolist()
    assert found.weights.tolist() == FISM.weights.tolist()
    arrays = found.encode().arrays
    assert not [name for name in arrays if name.startswith("users.")]
    assert found.bytes_account()["weights"] == 4 * 50
    for name, array in FISM.encode().arrays.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize(
    "model",
    [MODEL, keep_users(MODEL, np.arange(4)), without_seen(MODEL), FISM, without_seen(FISM), WIDE, WIDE_FISM],
)
def test_the_page_names_every_array_and_every_key(model: ServedModel) -> None:
    for artifact in (model.encode(), *(pack(model, dtype) for dtype in VALUES)):
        assert artifact.metadata.keys() <= WORDS
        for name in artifact.arrays:
            general = re.sub(r"^(users|items)\.", "T.", re.sub(r"^(user|item)_ids", "O_ids", name))
            assert general in WORDS
    assert {kind for kind in DTYPES if kind != "F64"} <= WORDS


def test_the_page_states_the_runtime_s_constants() -> None:
    assert f"(X'X + {runtime.UNTOUCHED} (V'V + {runtime.RIDGE} m I)) u = X'1" in PAGE
    assert f"at most {runtime.MAX_HEADER_BYTES:,}" in PAGE


def test_ids_that_are_objects_are_stored_as_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As text is held where one id is far longer than most."""
    fixed = make_model(30, 50)
    names = [f"user {row:03d}" + "x" * (row == 7) * 400 for row in range(30)]
    fixed = replace(fixed, user_ids=np.array(names))
    wide = replace(fixed, user_ids=np.array(names, dtype=object))
    save_model(tmp_path / "fixed", fixed)
    save_model(tmp_path / "wide", wide)
    one, other = tmp_path / "fixed", tmp_path / "wide"
    assert one.read_bytes() == other.read_bytes()
    monkeypatch.setattr(ids, "FREE_BYTES", 0)
    again = load_model(one)
    assert again.user_ids.dtype == object and again.user_ids.tolist() == names
    assert Recommender.open(one).recommend(names[7])[0] == Recommender.open(other).recommend(names[7])[0]
