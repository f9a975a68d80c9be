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
    decode_steps,
    decode_varints,
    parse_artifact,
    read_artifact,
    step_limit,
)
from sparserec_np.serving.model_file import ServedModel, load_model, served_from
from sparserec_np.serving.packing import (
    LEVELS,
    VALUES,
    count_tables,
    encode_ends,
    encode_steps,
    encode_varints,
    pack,
    write_export,
)
from sparserec_np.serving.slices import keep_users
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model, make_ridge_model

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
def test_weights_come_back_where_items_have_entries(dtype: str) -> None:
    model = make_fism_model(item_ids=NAMES, seed=2, density=0.2)
    filled = np.diff(model.items.indptr) > 0
    assert 0 < filled.sum() < 50
    artifact = pack(model, dtype)
    found = served_from(artifact)
    assert not found.weights[~filled].any()
    if dtype == "float16":
        np.testing.assert_array_equal(found.weights[filled], model.weights[filled].astype(np.float16))
    else:  # few enough to be told apart by a byte
        np.testing.assert_array_equal(found.weights[filled], model.weights[filled])
    np.testing.assert_array_equal(found.items.columns, model.items.columns)
    np.testing.assert_array_equal(found.seen_items, model.seen_items)
    np.testing.assert_allclose(found.items.values, model.items.values, atol=0.03)
    assert not [name for name in artifact.arrays if name.startswith("users.")]
    scales = 4 * 8 if dtype == "int8" else 0
    width = {"float32": 4, "float16": 2, "int8": 1}[dtype]
    ends = -(-(50 + model.items.nnz) // 8)
    assert count_tables(artifact) == model.items.nnz * (width + 1) + scales + ends
    assert runtime.count_bytes(artifact.arrays)["weights"] == filled.sum() * (5 if dtype == "int8" else width)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3000),
    span=st.floats(0, 4),
    unit=st.sampled_from([1e-20, 1e-3, 1.0, 1e10]),
    negative=st.sampled_from([0.0, 0.3]),
)
def test_weights_of_a_byte_keep_their_proportions(
    seed: int, n: int, span: float, unit: float, negative: float
) -> None:
    """Over four orders of magnitude of one sign 256 cells are 4 % wide each; of two signs twice that."""
    rng = np.random.default_rng(seed)
    weights = unit * 10 ** rng.uniform(-span, 0, n) * np.where(rng.random(n) < negative, -1, 1)
    weights = weights.astype(np.float32)
    table = SparseTable(np.arange(n + 1), np.zeros(n, np.uint8), np.full(n, 1e-6, np.float32))
    model = make_fism_model(n_users=1, n_items=n, dim=1)
    artifact = pack(replace(model, items=table, weights=weights), "int8")
    found = decode_model(artifact).weights
    assert len(artifact.arrays["weights.levels"]) <= LEVELS
    assert np.abs(found / weights - 1).max() < (0.1 if negative else 0.05)
    order = np.argsort(weights)
    assert np.all(np.diff(found[order]) >= 0)


def test_weights_that_are_zero_or_nearly_so_have_levels_of_their_own() -> None:
    weights = np.concatenate(
        ([0.0, 1e-30, -1e-30, 2.0], np.random.default_rng(0).normal(size=996) * 1e-2)
    ).astype(np.float32)
    table = SparseTable(np.arange(1001), np.zeros(1000, np.uint8), np.full(1000, 0.1, np.float32))
    model = replace(make_fism_model(n_items=1000, dim=1), items=table, weights=weights)
    found = served_from(pack(model, "int8")).weights
    assert np.abs(found[:3]).max() < 1e-4 * 2
    assert np.abs(found - weights).max() < 0.1 * np.abs(weights).max()


def test_lists_of_the_packed_fism_are_those_of_what_was_packed() -> None:
    """In float32 nothing is lost, whatever the form of columns, rows and weights."""
    model = make_fism_model(n_users=40, n_items=900, dim=600, density=0.004, seed=5)
    artifact = pack(model, "float32")
    assert {"items.steps", "items.ends"} <= artifact.arrays.keys()
    one, other = Recommender(model.encode()), Recommender(artifact)
    for user in range(40):
        assert one.recommend(user, 20) == other.recommend(user, 20)
        assert one.recommend_for_items([user, 5], 20) == other.recommend_for_items([user, 5], 20)


def rows_bytes(indptr: Any) -> int:
    """Bytes of the smaller of lengths and ends; rows have fewer than 256 entries."""
    return min(len(indptr) - 1, -(-(len(indptr) - 1 + int(indptr[-1])) // 8))


def test_bytes_are_counted_entry_by_entry(tmp_path: Path) -> None:
    model = make_model(n_users=300, n_items=400, seed=1)
    nnz = model.users.nnz + model.items.nnz
    rows = rows_bytes(model.users.indptr) + rows_bytes(model.items.indptr)
    assert rows < 700
    for dtype, width, scales in (("float32", 4, 0), ("float16", 2, 0), ("int8", 1, 2 * 4 * 8)):
        artifact = pack(model, dtype)
        assert count_tables(artifact) == nnz * (width + 1) + scales + rows
        size = write_export(tmp_path / dtype, artifact)
        data = (tmp_path / dtype).read_bytes()
        gaps = artifact.arrays["seen.gaps"].nbytes
        header = 8 + int.from_bytes(data[:8], "little")
        assert len(data) == size == header + count_tables(artifact) + gaps + rows_bytes(model.seen_indptr)
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
        "unpacked": 0,
        "seen": 4 * 301 + len(model.seen_items),
        "ids": sys.getsizeof(texts) + sum(map(sys.getsizeof, texts)),
    }


def test_what_is_unpacked_is_counted() -> None:
    model = make_fism_model(dim=300, n_items=900, density=0.01, seed=1)
    stored, packed = (Recommender(one).inspect() for one in (model.encode(), pack(model, "int8")))
    assert stored["resident_bytes"]["unpacked"] == 0
    assert packed["resident_bytes"]["unpacked"] == 2 * model.items.nnz + 4 * 900


@pytest.mark.parametrize("kind", ["<u2", "<u4"])
def test_lengths_of_any_width_are_read(kind: str) -> None:
    artifact = pack(make_model(dim=20), "int8")
    assert {"users.lengths", "items.lengths", "seen.lengths"} & artifact.arrays.keys()
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


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30) | st.integers(0, 9000), max_size=40),
    block=st.sampled_from([8, 16, 1 << 13]),
)
def test_ends_of_rows_come_back(lengths: list[int], block: int) -> None:
    indptr = np.concatenate(([0], np.cumsum(np.array(lengths, np.int64))))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "BLOCK", block)
        found = runtime._decode_ends("ends", encode_ends(indptr), len(lengths), int(indptr[-1]), "columns")
    assert found.tolist() == indptr.tolist()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), dim=st.sampled_from([1, 255, 256, 257, 511, 512, 1024, 4096, 65_281, 65_282, 65_536]))
def test_steps_between_columns_come_back(data: Any, dim: int) -> None:
    """One byte or two each, so that they are never more than columns of two bytes."""
    numbers = st.sets(st.integers(0, dim - 1), max_size=12)
    rows = [sorted(row) for row in data.draw(st.lists(numbers, max_size=12))]
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
    columns = np.array([column for row in rows for column in row], np.uint16)
    spelt = encode_steps(indptr, columns, dim)
    assert len(spelt) <= (1 if dim <= 256 else 2) * len(columns)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "BLOCK", data.draw(st.sampled_from([2, 3, 1 << 13])))
        found = decode_steps("steps", spelt, dim)
        runtime._add_up_gaps("steps lead to", indptr, found, dim)
    assert found.tolist() == columns.tolist()
    assert found.dtype == (np.uint8 if dim <= 256 else np.uint16)


@settings(max_examples=300, deadline=None)
@given(spelt=st.binary(max_size=40), dim=st.integers(1, 65_536), block=st.sampled_from([2, 5, 1 << 13]))
def test_any_bytes_are_read_as_steps_or_refused(spelt: bytes, dim: int, block: int) -> None:
    limit, at, expected, sound = step_limit(dim), 0, [], True
    while at < len(spelt) and sound:
        step, width = spelt[at], 1
        if step >= limit:
            width = 2
            sound = at + 1 < len(spelt)
            step = limit + (step - limit) * 256 + spelt[at + 1] if sound else 0
        sound = sound and step < dim
        expected.append(step)
        at += width
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "BLOCK", block)
        if sound:
            assert decode_steps("steps", np.frombuffer(spelt, np.uint8), dim).tolist() == expected
        else:
            with pytest.raises(ArtifactError, match="steps (end within a step|hold)"):
                decode_steps("steps", np.frombuffer(spelt, np.uint8), dim)


def test_float16_refuses_what_it_cannot_hold() -> None:
    model = make_model()
    model.items.values[3] = 70_000
    with pytest.raises(ArtifactError, match=r"items\.values reach beyond 65,504"):
        pack(model, "float16")
    pack(model, "int8")
    fism = make_fism_model()
    fism.weights[np.flatnonzero(np.diff(fism.items.indptr))[3]] = 70_000
    with pytest.raises(ArtifactError, match=r"weights reach beyond 65,504, the most of float16"):
        pack(fism, "float16")
    pack(fism, "int8")


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


@pytest.mark.parametrize("dtype", VALUES)
def test_rows_that_are_solved_for_take_the_short_forms_and_no_weights(dtype: str) -> None:
    model = make_ridge_model(n_users=40, n_items=900, dim=600, density=0.004, seed=5)
    packed = pack(model, dtype)
    assert {"items.steps", "items.ends"} <= packed.arrays.keys()
    assert not any(name.startswith("weights") for name in packed.arrays)
    told = served_from(packed)
    np.testing.assert_array_equal(told.items.columns, model.items.columns)
    plain, small = Recommender(told.encode()), Recommender(packed)
    assert [small.recommend(user, 9) for user in (0, 7)] == [plain.recommend(user, 9) for user in (0, 7)]
    codes = {"weights.codes": np.zeros(1, np.uint8), "weights.levels": np.zeros(1, np.float32)}
    with pytest.raises(ArtifactError, match="weights are there, but rows that are solved for need none"):
        Recommender(packed._replace(arrays={**packed.arrays, **codes}))


# -- what is refused


def damaged(artifact: Artifact, name: str, change: Any) -> Artifact:
    """The artifact with one array changed, or taken out where there is no change."""
    arrays = dict(artifact.arrays)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    return artifact._replace(arrays=arrays)


def assert_refused(artifact: Artifact, name: str, change: Any, sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        decode_model(damaged(artifact, name, change))


def put(index: int, value: Any) -> Any:
    def change(array: Any) -> Any:
        array = array.copy()
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("users.ends", None, "users.indptr is missing"),
        (
            "users.ends",
            lambda array: array[1:],
            r"users.ends holds 11 bytes, expected 12 for 30 rows and users",
        ),
        ("users.ends", lambda array: array.astype(np.int32), "users.ends is 1-dimensional int32"),
        (
            "users.ends",
            lambda array: array ^ 16,
            "users.ends must hold 30 ones, one a row, the last after 63",
        ),
        ("users.ends", lambda array: array * 0, "users.ends must hold 30 ones"),
        ("users.ends", lambda array: array | 255, "users.ends must hold 30 ones"),
        ("items.ends", put(-1, 0), "items.ends must hold 50 ones"),
        ("items.columns", lambda array: array[::-1].copy(), "items.columns must rise"),
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
    artifact = damaged(pack(make_model(), "int8"), name, change)
    write_artifact(tmp_path / "device", artifact.arrays, artifact.metadata)
    for opener in (Recommender.open, load_model):
        with pytest.raises(ArtifactError, match="device is not a sound model file: .*" + sentence):
            opener(tmp_path / "device")


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("users.lengths", None, "users.indptr is missing"),
        ("users.lengths", put(0, 200), "users.lengths must add up to"),
        ("users.lengths", lambda array: array[1:], "users.lengths holds 29 numbers, expected 30, one a row"),
        ("users.lengths", lambda array: array.astype(np.int32), "users.lengths is 1-dimensional int32"),
        ("items.lengths", lambda array: array[::-1].copy(), "items.steps lead to column"),
        ("items.steps", None, "items.columns is missing"),
        ("items.steps", put(-1, 255), "items.steps end within a step, expected another byte"),
        ("items.steps", put(0, 254), "items.steps lead to column .*, expected less than 300"),
        ("items.steps", lambda array: np.r_[array[:-1], [255, 255]].astype(np.uint8), "items.steps hold 510"),
        ("items.steps", lambda array: array[1:], "items.lengths must add up to"),
        ("items.steps", lambda array: array.astype(np.uint16), "items.steps is 1-dimensional uint16"),
        ("items.values", lambda array: array[1:], "items.values holds"),
    ],
)
def test_a_damaged_array_of_a_wide_table_is_refused_by_name(name: str, change: Any, sentence: str) -> None:
    assert_refused(pack(make_model(dim=300), "int8"), name, change, sentence)


@pytest.mark.parametrize(
    ("dtype", "name", "change", "sentence"),
    [
        ("int8", "weights.codes", None, "weights is missing"),
        ("int8", "weights.levels", None, "weights.levels is missing"),
        (
            "int8",
            "weights.codes",
            put(5, 255),
            r"weights.codes hold 255, expected less than \d+, the number of",
        ),
        ("int8", "weights.codes", lambda array: array.view(np.int8), "weights.codes is 1-dimensional int8"),
        (
            "int8",
            "weights.codes",
            lambda array: array[1:],
            r"weights.codes hold \d+ numbers, expected 50, one",
        ),
        ("int8", "weights.levels", put(0, np.nan), "weights hold NaN or infinity"),
        ("int8", "weights.levels", put(0, 1e30), "weights hold NaN or infinity, or would overflow"),
        ("int8", "weights.levels", lambda array: array[:0], "weights.codes hold"),
        ("float16", "weights", put(0, np.inf), "weights hold NaN or infinity"),
        (
            "float16",
            "weights",
            lambda array: array[1:],
            "weights hold .* or .*, one an item that has entries",
        ),
        ("float32", "weights", lambda array: array.astype(np.float64), "weights is 1-dimensional float64"),
    ],
)
def test_damaged_weights_are_refused_by_name(dtype: str, name: str, change: Any, sentence: str) -> None:
    assert_refused(pack(make_fism_model(density=0.2), dtype), name, change, sentence)


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
WIDE_FISM = make_fism_model(2, n_users=4, n_items=30, dim=600, density=0.003)


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(), dtype=st.sampled_from(list(VALUES)), model=st.sampled_from([SMALL, SMALL_FISM, WIDE_FISM])
)
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
