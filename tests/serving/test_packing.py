"""The exported file: smaller, and nothing else than the model it came from; a damaged one is refused."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np import runtime
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import SparseTable
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import (
    Artifact,
    ArtifactError,
    Recommender,
    decode_model,
    decode_varints,
    parse_artifact,
    read_artifact,
)
from sparserec_np.serving.model_file import ServedModel, load_model, served_from
from sparserec_np.serving.packing import VALUES, count_tables, encode_varints, pack, write_export
from sparserec_np.serving.slices import keep_users
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model

NAMES = np.array([f"Größe {i}" for i in range(50)])


# -- what is stored


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("dim", [1, 8, 256, 300])
def test_what_is_packed_is_unpacked(dtype: str, dim: int) -> None:
    model = make_model(dim=dim, item_ids=NAMES, seed=dim)
    found = served_from(pack(model, dtype))
    for field in ("indptr", "columns"):
        for one, other in ((model.users, found.users), (model.items, found.items)):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for field in ("user_ids", "item_ids", "seen_indptr", "seen_items"):
        np.testing.assert_array_equal(getattr(model, field), getattr(found, field))
    for one, other in ((model.users, found.users), (model.items, found.items)):
        assert other.values.dtype == np.float32
        if dtype == "float32":
            np.testing.assert_array_equal(one.values, other.values)
        elif dtype == "float16":
            np.testing.assert_array_equal(one.values.astype(np.float16), other.values)
        else:  # half a step of the dimension's scale, which reaches its largest magnitude
            largest = np.zeros(dim)
            np.maximum.at(largest, one.columns, np.abs(one.values))
            step = largest[one.columns] / 127
            assert (np.abs(one.values - other.values) <= step * 0.5001).all()
            back = np.zeros(dim)
            np.maximum.at(back, other.columns, np.abs(other.values))
            np.testing.assert_allclose(back, largest, rtol=1e-6)


@pytest.mark.parametrize("dtype", VALUES)
def test_weights_stay_as_they_are_and_values_do_not(dtype: str) -> None:
    model = make_fism_model(item_ids=NAMES, seed=2)
    artifact = pack(model, dtype)
    found = served_from(artifact)
    assert artifact.arrays["weights"].dtype == np.float32
    np.testing.assert_array_equal(found.weights, model.weights)
    np.testing.assert_array_equal(found.items.columns, model.items.columns)
    np.testing.assert_array_equal(found.seen_items, model.seen_items)
    np.testing.assert_allclose(found.items.values, model.items.values, atol=0.03)
    assert not [name for name in artifact.arrays if name.startswith("users.")]
    scales = 4 * 8 if dtype == "int8" else 0
    width = {"float32": 4, "float16": 2, "int8": 1}[dtype]
    assert count_tables(artifact) == model.items.nnz * (width + 1) + scales + 50


def test_bytes_are_counted_entry_by_entry(tmp_path: Path) -> None:
    model = make_model(n_users=300, n_items=400, seed=1)
    nnz, rows = model.users.nnz + model.items.nnz, 700
    for dtype, width, scales in (("float32", 4, 0), ("float16", 2, 0), ("int8", 1, 2 * 4 * 8)):
        artifact = pack(model, dtype)
        assert count_tables(artifact) == nnz * (width + 1) + scales + rows
        size = write_export(tmp_path / dtype, artifact)
        data = (tmp_path / dtype).read_bytes()
        gaps = artifact.arrays["seen.gaps"].nbytes
        header = 8 + int.from_bytes(data[:8], "little")
        assert len(data) == size == header + count_tables(artifact) + gaps + 300
        assert gaps < 2 * len(model.seen_items)


def test_what_serving_holds_is_counted() -> None:
    """Everything that is not a view of the mapped file: lists, bounds and seen items that were decoded, texts."""
    model = make_model(n_users=300, item_ids=NAMES, seed=1)
    packed = Recommender(pack(model, "int8")).inspect()["resident_bytes"]
    texts = [str(name) for name in NAMES]
    assert packed.pop("total") == sum(packed.values())
    assert packed == {
        "items by dimension": (1 + 4) * model.items.nnz,
        "graph": 0,
        "row bounds": 4 * (301 + 51),
        "seen": 4 * 301 + len(model.seen_items),
        "ids": sys.getsizeof(texts) + sum(map(sys.getsizeof, texts)),
    }


@pytest.mark.parametrize("kind", ["<u2", "<u4"])
def test_lengths_of_any_width_are_read(kind: str) -> None:
    artifact = pack(make_model(), "int8")
    wide = {name: array.astype(kind) for name, array in artifact.arrays.items() if name.endswith(".lengths")}
    one, other = Recommender(artifact), Recommender(artifact._replace(arrays={**artifact.arrays, **wide}))
    assert [one.recommend(user) for user in range(30)] == [other.recommend(user) for user in range(30)]


def test_same_model_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for _ in range(2):
        write_export(tmp_path / "file", pack(make_model(item_ids=NAMES), "int8"))
        digests.add(hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", VALUES)
def test_the_official_package_opens_the_file(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "device.safetensors"
    write_export(path, pack(keep_users(make_model(item_ids=NAMES), np.arange(3, 20)), dtype))
    ours, theirs = read_artifact(path), safetensors.numpy.load_file(path)
    assert theirs.keys() == ours.arrays.keys()
    for name, array in theirs.items():
        assert array.dtype == ours.arrays[name].dtype
        np.testing.assert_array_equal(array, ours.arrays[name])
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == ours.metadata


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 130) | st.integers(0, 2**35 - 1)))
def test_varints_come_back(numbers: list[int]) -> None:
    data = encode_varints(np.array(numbers, np.int64))
    assert decode_varints(data, 2**35).tolist() == numbers
    assert len(data) == sum(max(1, -(-number.bit_length() // 7)) for number in numbers)


def test_long_varints_come_back_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "VARINT_BLOCK", 7)
    numbers = np.random.default_rng(0).integers(0, 2**20, 500)
    assert decode_varints(encode_varints(numbers), 2**20).tolist() == numbers.tolist()
    with pytest.raises(ArtifactError, match=r"seen\.gaps holds 1,048,575, expected less than 1,048,575"):
        decode_varints(encode_varints(np.array([2**20 - 1])), 2**20 - 1)


def test_float16_refuses_what_it_cannot_hold() -> None:
    model = make_model()
    model.items.values[3] = 70_000
    with pytest.raises(ArtifactError, match=r"items\.values reach beyond 65,504"):
        pack(model, "float16")
    pack(model, "int8")


def test_a_model_whose_scores_are_no_products_of_stored_rows_is_not_exported() -> None:
    model = make_model()
    with pytest.raises(ArtifactError, match="metadata model is 'lightgcn'"):
        pack(as_lightgcn(model), "int8")


def test_values_of_any_size_keep_their_order_of_magnitude_in_int8() -> None:
    model = make_model(seed=3)
    scales = 10.0 ** np.arange(-30, 10, 5)  # a dimension each
    values = (model.items.values * scales[model.items.columns]).astype(np.float32)
    found = served_from(pack(replace(model, items=model.items._replace(values=values)), "int8")).items.values
    for column in range(8):
        own = model.items.columns == column
        assert np.abs(found[own] - values[own]).max() <= np.abs(values[own]).max() / 253


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("decimals", [0, 8])
def test_the_compiled_kernel_and_the_runtime_list_the_same_items(
    tmp_path: Path, dtype: str, decimals: int
) -> None:
    """Few decimals make many equal scores, which come in the order of the items."""
    model = make_model(n_users=40, n_items=900, dim=16, density=0.2, seed=5, decimals=decimals)
    write_export(tmp_path / "file", pack(model, dtype))
    loaded, recommender = load_model(tmp_path / "file"), Recommender.open(tmp_path / "file")
    items, scores = TableRanker(loaded.users, loaded.items, 16).rank(np.arange(40), 20, loaded.seen)
    for row in range(40):
        assert recommender.recommend(row, 20) == (items[row].tolist(), scores[row].tolist())


# -- what is refused


def put(index: int, value: Any) -> Any:
    def change(array: Any) -> Any:
        array = array.copy()
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("users.lengths", None, "users.indptr is missing"),
        ("users.lengths", put(0, 200), "users.lengths must add up to"),
        ("users.lengths", lambda array: array[1:], "users.lengths holds 29 numbers, expected 30, one a row"),
        ("users.lengths", lambda array: array.astype(np.int32), "users.lengths is 1-dimensional int32"),
        ("items.lengths", lambda array: array[::-1].copy(), "items.columns must rise"),
        ("items.scales", None, "items.scales is missing"),
        (
            "items.scales",
            lambda array: array[:-1],
            "items.scales holds 7 numbers, expected 8, one a dimension",
        ),
        ("items.scales", put(2, np.nan), "items.scales holds NaN"),
        ("items.scales", put(2, np.inf), "items.scales holds NaN"),
        ("items.scales", put(2, 2e36), "items.scales .*overflow"),
        ("items.scales", put(2, 1e30), "users.values times items.values would overflow"),
        ("items.values", lambda array: array[:-1], "items.values holds"),
        ("items.values", lambda array: array.view(np.uint8), "items.values is 1-dimensional uint8"),
        ("seen.lengths", put(0, 250), "seen.lengths must add up to"),
        ("seen.gaps", None, "seen.items is missing"),
        ("seen.gaps", put(-1, 128), "seen.gaps holds a number that does not end within 5 bytes"),
        ("seen.gaps", put(3, 50), "seen.gaps holds 50, expected less than 50"),
        ("seen.gaps", put(0, 49), r"seen.gaps lead to item \d+, expected less than 50"),
        ("seen.gaps", lambda array: np.r_[np.full(9, 255, np.uint8), array], "does not end within 5 bytes"),
    ],
)
def test_a_damaged_array_is_refused_by_name(tmp_path: Path, name: str, change: Any, sentence: str) -> None:
    artifact = pack(make_model(), "int8")
    arrays = dict(artifact.arrays)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    write_artifact(tmp_path / "device", arrays, artifact.metadata)
    for opener in (Recommender.open, load_model):
        with pytest.raises(ArtifactError, match="device is not a sound model file: .*" + sentence):
            opener(tmp_path / "device")


def test_wrong_row_entries_are_refused() -> None:
    artifact = pack(make_model(), "int8")
    with pytest.raises(ArtifactError, match="metadata row_entries is '-1', expected a number"):
        decode_model(artifact._replace(metadata={**artifact.metadata, "row_entries": "-1"}))
    model = decode_model(artifact._replace(metadata={**artifact.metadata, "row_entries": "9" * 18}))
    assert model.row_entries == 8  # never more than there are dimensions


def open_and_use(artifact: Artifact) -> None:
    """ArtifactError is the only error there may be, and what is accepted must work."""
    try:
        recommender = Recommender(artifact)
    except ArtifactError as error:
        assert str(error)
        return
    if artifact.metadata["model"] not in runtime.SERVED:  # it may be inspected
        for user in recommender.user_ids.to_array()[:1].tolist():
            with pytest.raises(ArtifactError, match="is none of those that are served"):
                recommender.recommend(user, 3)
        return
    for user in range(len(recommender.user_ids)):
        found = recommender.recommend(recommender.user_ids[user], 3, exclude=[])
        assert np.isfinite(found.scores).all()
        assert np.isfinite(recommender.similar_users(recommender.user_ids[user], 3).scores).all()
    for item in range(len(recommender.item_ids)):
        name = recommender.item_ids[item]
        assert np.isfinite(recommender.recommend_for_items([name], 3).scores).all()
        assert np.isfinite(recommender.similar_items(name, 3).scores).all()


SMALL = make_model(n_users=4, n_items=6, dim=3, item_ids=np.array(["a", "b", "é", "d", "e", "f"]))
SMALL_FISM = make_fism_model(2, n_users=4, n_items=6, dim=3)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(list(VALUES)), model=st.sampled_from([SMALL, SMALL_FISM]))
def test_no_array_contents_crash_the_reader(data: Any, dtype: str, model: ServedModel) -> None:
    artifact = pack(model, dtype)
    name = data.draw(st.sampled_from(sorted(artifact.arrays)))
    array = artifact.arrays[name].copy()
    raw = array.view(np.uint8)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    open_and_use(Artifact({**artifact.arrays, name: array}, artifact.metadata, 0))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_changed_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "packed"
    if not path.exists():
        write_export(path, pack(SMALL, "int8"))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    try:
        artifact = parse_artifact(bytes(raw[:cut]))
    except ArtifactError:
        return
    open_and_use(artifact)


def test_a_model_that_is_none_of_those_served_is_refused_in_use() -> None:
    packed = pack(SMALL, "int8")
    open_and_use(packed._replace(metadata={**packed.metadata, "model": " f"}))


@pytest.mark.parametrize("value", [1e-30, 1e-19, 1e-12, 1e12, 1e18])
def test_tables_of_any_magnitude_are_served(value: float) -> None:
    dense = np.eye(6, 3, dtype=np.float32) * np.float32(value)
    table = SparseTable.from_dense(dense)
    open_and_use(replace(SMALL, items=table).encode())
