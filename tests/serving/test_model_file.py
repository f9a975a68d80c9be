"""docs/model-file.md: it names all that is in the file, and a reader written from it reads the same model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np import runtime
from sparserec_np.runtime import DTYPES, Recommender
from sparserec_np.serving.model_file import ServedModel, empty_users, load_model, save_model
from sparserec_np.serving.packing import VALUES, pack, write_export
from sparserec_np.serving.slices import keep_users, without_seen
from tests.makers.served_models import make_fism_model, make_model

PAGE = (Path(__file__).parents[2] / "docs" / "model-file.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`]+)`", PAGE))
MODEL = make_model(user_ids=np.array([f"Größe {i}" for i in range(30)]), item_ids=np.arange(50) * 7)
FISM = make_fism_model(user_ids=np.array([f"Größe {i}" for i in range(30)]))
DIGITS = {"F": "f", "I": "i", "U": "u"}


def read_by_the_page(data: bytes) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Dense tables and seen items, by the words of the page, one number at a time."""
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
        bounds = take(f"{name}.indptr")
        return [end - start for start, end in zip(bounds[:-1], bounds[1:], strict=True)]

    tables = []
    for name, rows in (("users", metadata["n_users"]), ("items", metadata["n_items"])):
        dense = np.zeros((int(rows), int(metadata["dim"])), np.float32)
        tables.append(dense)
        if name == "users" and metadata["model"] == "fism":
            continue
        entries = iter(zip(take(f"{name}.columns"), take(f"{name}.values"), strict=True))
        scales = np.array(take(f"{name}.scales"), np.float32) if f"{name}.scales" in header else None
        for row, count in enumerate(lengths(name)):
            for _ in range(count):
                column, value = next(entries)
                dense[row, column] = value if scales is None else scales[column] * np.float32(value)
    if metadata.get("seen") == "left out":
        return tables[0], tables[1], []
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
        return tables[0], tables[1], seen
    items = iter(take("seen.items"))
    return tables[0], tables[1], [[next(items) for _ in range(count)] for count in lengths("seen")]


@pytest.mark.parametrize("dtype", [None, *VALUES])
@pytest.mark.parametrize("users", [30, 0])
@pytest.mark.parametrize("model", [MODEL, FISM], ids=["mf", "fism"])
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
    for table, dense in ((found.users, by_page[0]), (found.items, by_page[1])):
        ours = np.zeros_like(dense)
        for row in range(len(dense)):
            columns, values = table.row(row)
            ours[row, columns] = values
        np.testing.assert_array_equal(ours, dense)
    bounds = model.seen_indptr.tolist()
    assert by_page[2] == [
        model.seen_items[a:b].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def test_the_page_s_example_of_gaps_is_right() -> None:
    gaps = runtime.decode_varints(np.frombuffer(bytes.fromhex("0300AB02"), np.uint8), 1000)
    assert gaps.tolist() == [3, 0, 299]
    assert (np.cumsum(gaps + 1) - 1).tolist() == [3, 4, 304]
    assert "`03 00 AB 02`" in PAGE


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
    [MODEL, keep_users(MODEL, np.arange(4)), without_seen(MODEL), FISM, without_seen(FISM)],
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
