"""The model file: written once and for all, read by others, and refused when anything in it is not as it must be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import SparseTable
from sparserec_np.machine.files import replacing
from sparserec_np.runtime import (
    DTYPES,
    SERVED,
    Artifact,
    ArtifactError,
    Recommender,
    decode_model,
    parse_artifact,
    read_artifact,
)
from sparserec_np.serving.model_file import ServedModel, load_model, save_model
from tests.makers.served_models import make_model, make_towers_model

TEXT_IDS = np.array([f"Größe {i}" for i in range(30)])
GAPPY_IDS = np.arange(50) * 1000 - 7


def saved_bytes(model: ServedModel, folder: Path) -> bytes:
    save_model(folder / "model.safetensors", model)
    return (folder / "model.safetensors").read_bytes()


def raw_file(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header at all."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: Any, *offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


EMPTY = json.dumps(entry("U8", [0], 0, 0)).encode()


def assert_same_model(one: ServedModel, other: ServedModel) -> None:
    for a, b in ((one.users, other.users), (one.items, other.items)):
        for field in SparseTable._fields:
            assert getattr(a, field).dtype == getattr(b, field).dtype
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    for field in ("user_ids", "item_ids", "seen_indptr", "seen_items"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert one.dim == other.dim


# -- what is written


@pytest.mark.parametrize(
    ("user_ids", "item_ids", "kinds"),
    [
        (None, None, ("range", "range")),
        (TEXT_IDS, GAPPY_IDS, ("text", "int")),
        (np.arange(30)[::-1].copy(), np.arange(50) + 2**40, ("int", "int")),
        (np.arange(30).astype(str), np.array(["", *"abc", *(f"x{i}" for i in range(46))]), ("text", "text")),
    ],
)
@pytest.mark.parametrize("dim", [1, 8, 256, 257])
def test_what_is_saved_is_loaded(tmp_path: Path, user_ids: Any, item_ids: Any, kinds: Any, dim: int) -> None:
    model = make_model(dim=dim, user_ids=user_ids, item_ids=item_ids)
    path = tmp_path / "model.safetensors"
    assert save_model(path, model) == path.stat().st_size
    for place in (path, tmp_path):
        loaded = load_model(place)
        assert_same_model(model, loaded)
        assert (loaded.metadata["user_id_kind"], loaded.metadata["item_id_kind"]) == kinds
        assert model.metadata.items() <= loaded.metadata.items()


def test_empty_rows_and_empty_lists_are_saved(tmp_path: Path) -> None:
    model = make_model(density=0.0)
    model = replace(model, seen_indptr=np.zeros(31, np.int64), seen_items=np.zeros(0, np.int32))
    save_model(tmp_path / "empty", model)
    assert_same_model(model, load_model(tmp_path / "empty"))


def test_the_official_package_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make_model(user_ids=TEXT_IDS, item_ids=GAPPY_IDS)
    save_model(path, model)
    ours = read_artifact(path)
    theirs = safetensors.numpy.load_file(path)
    assert theirs.keys() == ours.arrays.keys()
    for name, array in theirs.items():
        assert array.dtype == ours.arrays[name].dtype
        np.testing.assert_array_equal(array, ours.arrays[name])
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == ours.metadata


def test_files_of_the_official_package_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {kind: rng.integers(0, 100, (3, 5)).astype(dtype) for kind, dtype in DTYPES.items()}
    safetensors.numpy.save_file(arrays, tmp_path / "theirs", {"who": "they"})
    artifact = read_artifact(tmp_path / "theirs")
    assert artifact.metadata == {"who": "they"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(artifact.arrays[name], array)


def test_same_model_same_bytes_in_any_order(tmp_path: Path) -> None:
    model = make_model(user_ids=TEXT_IDS)
    shuffled = replace(model, metadata=dict(reversed(model.metadata.items())))
    digests = [hashlib.sha256(saved_bytes(each, tmp_path)).hexdigest() for each in (model, model, shuffled)]
    again = load_model(tmp_path)
    digests.append(hashlib.sha256(saved_bytes(again, tmp_path)).hexdigest())
    assert len(set(digests)) == 1


def test_arrays_are_aligned_read_only_views(tmp_path: Path) -> None:
    saved_bytes(make_model(user_ids=TEXT_IDS), tmp_path)
    for array in read_artifact(tmp_path).arrays.values():
        assert array.flags.aligned
        assert not array.flags.writeable
        assert not array.flags.owndata


def test_ids_take_the_fewest_bytes(tmp_path: Path) -> None:
    def account(ids: Any) -> int:
        return make_model(user_ids=np.asarray(ids)).bytes_account()["ids"]

    assert account(np.arange(30)) == 0
    assert account(np.arange(30) + 200) == 30
    assert account(np.arange(30) - 5) == 30
    assert account(np.arange(30) + 60_000) == 60
    assert account(np.arange(30) + 2**31) == 120
    assert account(np.arange(30) + 2**33) == 240
    assert account([f"{i:02}" for i in range(30)]) == 60 + 4 * 31


def test_the_account_of_bytes_is_that_of_the_file(tmp_path: Path) -> None:
    model = make_model(item_ids=GAPPY_IDS)
    nnz = model.users.nnz + model.items.nnz
    account = model.bytes_account()
    seen = 4 * 31 + len(model.seen_items)
    expected = {"values": 4 * nnz, "columns": nnz, "indptr": 4 * (31 + 51), "ids": 4 * 50, "weights": 0}
    assert account == {**expected, "total": sum(expected.values()), "seen": seen}
    data = saved_bytes(model, tmp_path)
    assert len(data) == 8 + int.from_bytes(data[:8], "little") + account["total"] + account["seen"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_mapped_file_survives_being_replaced(tmp_path: Path) -> None:
    one, other = make_model(seed=1), make_model(seed=2)
    saved_bytes(one, tmp_path)
    opened = load_model(tmp_path)
    saved_bytes(other, tmp_path)
    assert_same_model(opened, one)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_ids": np.zeros(30, np.int64)}, "user_ids"),
        ({"user_ids": np.array(["a"] * 30)}, "user_ids"),
        ({"user_ids": np.arange(29) + 5}, "user_ids"),
        ({"user_ids": np.array(["\ud800", *map(str, range(29))])}, "user_ids"),
        ({"user_ids": np.arange(30, dtype=np.uint64) + 2**63}, "user_ids"),
        ({"item_ids": np.linspace(0, 1, 50)}, "item_ids"),
        ({"seen_items": np.zeros(3, np.int32)}, "seen.indptr"),
        ({"metadata": {"model": "mf", "method": "sparserec"}}, "budget"),
        ({"metadata": {"model": "mf", "method": "two\nlines", "budget": "1"}}, "method"),
        ({"metadata": {"model": "mf", "method": "x", "budget": "1", "metrics": "[NaN]"}}, "metrics"),
    ],
)
def test_a_model_that_nobody_could_read_is_not_written(tmp_path: Path, change: Any, field: str) -> None:
    with pytest.raises(ArtifactError, match=field):
        save_model(tmp_path / "model", replace(make_model(), **change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_diverged_training_is_not_written(tmp_path: Path, value: float) -> None:
    model = make_model()
    model.items.values[3] = value
    with pytest.raises(ArtifactError, match=r"items\.values"):
        save_model(tmp_path / "model", model)


def test_numbers_are_refused_rather_than_wrapped_around(tmp_path: Path) -> None:
    model = make_model()
    wide = model.seen_items.copy()
    wide[0] += 256
    with pytest.raises(ArtifactError, match=r"seen\.items"):
        save_model(tmp_path / "model", replace(model, seen_items=wide))


@pytest.mark.parametrize(
    "arrays", [{"x": np.array([1j])}, {"__metadata__": np.zeros(1)}, {"a\nb": np.zeros(1)}]
)
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, arrays: Any) -> None:
    with pytest.raises(ArtifactError):
        write_artifact(tmp_path / "file", arrays, {})


def test_big_endian_arrays_are_written_little_endian(tmp_path: Path) -> None:
    write_artifact(tmp_path / "file", {"x": np.arange(3, dtype=">f4")}, {})
    assert read_artifact(tmp_path / "file").arrays["x"].tolist() == [0, 1, 2]


# -- what is refused


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "too short"),
        (b"\x01\x00\x00", "too short"),
        ((2**63).to_bytes(8, "little") + b"{}", "header length"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "header length"),
        ((3).to_bytes(8, "little") + b"{}", "header length"),
        ((0).to_bytes(8, "little"), "header length"),
        (raw_file(b" " * (1 << 20) + b"{}"), "header length"),
        (raw_file(b"{ "), "JSON"),
        (raw_file(b"\xff\xfe{}"), "JSON"),
        (raw_file("{}".encode("utf-16")), "JSON"),
        (raw_file(b"[" * 100_000), "JSON"),
        (raw_file(b"1" * 5_000), "JSON"),
        (raw_file(b"[]"), "JSON object"),
        (raw_file(b'{"x": NaN}'), "NaN"),
        (raw_file({"__metadata__": []}), "__metadata__"),
        (raw_file({"__metadata__": {"x": 1}}), "'x'"),
        (raw_file({"__metadata__": {"x": "\ud800"}}), "'x'"),
        (raw_file({"__metadata__": {"x": "\x1b[2J"}}), "'x'"),
        (raw_file({"x": 1}), "'x'"),
        (raw_file({"x": {"dtype": "U8"}}), "'x'"),
        (raw_file({"x": {**entry("U8", [0], 0, 0), "more": 1}}), "'x'"),
        (raw_file({"x": entry("BF16", [1], 0, 2)}, bytes(2)), "dtype"),
        (raw_file({"x": {**entry("U8", [0], 0, 0), "dtype": []}}), "dtype"),
        (raw_file({"x": entry("U8", 1, 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [-1], 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [1.0], 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [True], 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [2], 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [1] * 99, 0, 1)}, bytes(1)), "shape"),
        (raw_file({"x": entry("U8", [0, 2**70], 0, 0)}), "shape"),
        (raw_file({"x": entry("U8", [0] + [2**60] * 7, 0, 0)}), "shape"),
        (raw_file({"x": entry("U8", [1], 0)}, bytes(1)), "data_offsets"),
        (raw_file({"x": entry("U8", [1], 0, 1, 2)}, bytes(1)), "data_offsets"),
        (raw_file({"x": entry("U8", [1], 1, 0)}, bytes(1)), "data_offsets"),
        (raw_file({"x": entry("U8", [1], -1, 0)}, bytes(1)), "data_offsets"),
        (raw_file({"x": entry("U8", [2**62], 0, 2**62)}, bytes(1)), "data_offsets"),
        (raw_file({"x": entry("U8", [1], 1, 2)}, bytes(2)), "data_offsets"),
        (raw_file({"x": entry("U8", [2], 0, 2), "y": entry("U8", [2], 1, 3)}, bytes(3)), "'y'"),
        (raw_file({"x": entry("U8", [2], 0, 2), "y": entry("U8", [2], 0, 2)}, bytes(2)), "'y'"),
        (raw_file({"x": entry("U8", [1], 0, 1)}, bytes(2)), "end at byte 1"),
        (raw_file(b'{"x":%s,"x":%s}' % (EMPTY, EMPTY)), "same name twice"),
        (raw_file(b'{"__metadata__":{"a":"1","a":"2"}}'), "twice"),
    ],
)
def test_a_hostile_layout_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        parse_artifact(data)
    (tmp_path / "hostile").write_bytes(data)
    with pytest.raises(ArtifactError, match="hostile.*" + sentence):
        Recommender.open(tmp_path / "hostile")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    data = saved_bytes(make_model(user_ids=TEXT_IDS), tmp_path)
    for length in range(len(data)):
        with pytest.raises(ArtifactError):
            parse_artifact(data[:length])


def put(index: int, value: Any) -> Any:
    """A change of one element of an array."""

    def change(array: Any) -> Any:
        array = array.copy()
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("users.indptr", None, "users.indptr is missing"),
        ("users.indptr", lambda array: array[:-1], "users.indptr holds 30 numbers, expected 31"),
        ("users.indptr", lambda array: array.astype(np.int16), "users.indptr is 1-dimensional int16"),
        ("users.indptr", lambda array: array[None], "users.indptr is 2-dimensional"),
        ("users.indptr", put(0, 1), "users.indptr must start at 0"),
        ("users.indptr", put(1, 10_000), "users.indptr .*never fall"),
        ("users.indptr", put(1, -1), "users.indptr .*never fall"),
        ("items.indptr", put(-1, 3), "items.indptr .*end at"),
        ("items.indptr", lambda array: array[:0], "items.indptr holds 0 numbers"),
        ("items.columns", put(0, 8), "items.columns holds 8, expected less than 8"),
        ("items.columns", lambda array: array[::-1].copy(), "items.columns must rise"),
        ("items.columns", lambda array: np.zeros_like(array), "items.columns must rise"),
        ("items.columns", lambda array: array.astype(np.uint16), "items.columns is 1-dimensional uint16"),
        ("items.values", put(0, np.nan), "items.values holds NaN"),
        ("users.values", put(-1, -np.inf), "users.values holds NaN or infinity"),
        ("users.values", put(-1, 3e38), "users.values .*overflow"),
        ("users.values", lambda array: array[:-1], "users.values holds"),
        ("users.values", lambda array: array.astype(np.float64), "users.values is 1-dimensional float64"),
        ("seen.indptr", put(3, 0), "seen.indptr .*never fall"),
        ("seen.items", put(0, 50), "seen.items holds 50, expected less than 50"),
        ("seen.items", lambda array: np.zeros_like(array), "seen.items must rise"),
        ("user_ids.text", None, "user_ids.text is missing"),
        ("user_ids.text", put(0, 0xFF), "user_ids.text is not UTF-8"),
        ("user_ids.offsets", put(1, 3), "user_ids.text is not UTF-8"),
        ("user_ids.offsets", put(1, 4_000), "user_ids.offsets .*never fall"),
        ("item_ids", lambda array: np.zeros_like(array), "item_ids holds the same id twice"),
        ("item_ids", lambda array: array[1:], "item_ids holds 49 ids, expected 50"),
        ("item_ids", lambda array: array.astype(np.float32), "item_ids is 1-dimensional float32"),
    ],
)
def test_a_damaged_array_is_refused_by_name(tmp_path: Path, name: str, change: Any, sentence: str) -> None:
    artifact = make_model(user_ids=TEXT_IDS, item_ids=GAPPY_IDS).encode()
    arrays = dict(artifact.arrays)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    write_artifact(tmp_path / "model.safetensors", arrays, artifact.metadata)
    for opener in (Recommender.open, load_model):
        with pytest.raises(ArtifactError, match="model.safetensors is not a sound model file: " + sentence):
            opener(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, "weights is missing"),
        (put(0, np.nan), "weights hold NaN or infinity"),
        (put(3, np.inf), "weights hold NaN or infinity"),
        (put(3, 1e20), "would overflow float32"),
        (lambda array: array[1:], "weights hold 59 numbers, expected 60"),
        (lambda array: array.astype(np.float64), "weights is 1-dimensional float64"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, change: Any, sentence: str) -> None:
    artifact = make_towers_model().encode()
    arrays = {name: array for name, array in artifact.arrays.items() if name != "weights"}
    if change is not None:
        arrays["weights"] = change(artifact.arrays["weights"])
    write_artifact(tmp_path / "model.safetensors", arrays, artifact.metadata)
    with pytest.raises(ArtifactError, match=sentence):
        load_model(tmp_path)


@pytest.mark.parametrize("hidden", ["", "1", "1025", "six"])
def test_a_width_that_cannot_be_is_refused(hidden: str) -> None:
    artifact = make_towers_model().encode()
    with pytest.raises(ArtifactError, match="metadata hidden is"):
        decode_model(artifact._replace(metadata={**artifact.metadata, "hidden": hidden}))


def test_weights_are_written_read_and_counted(tmp_path: Path) -> None:
    model = make_towers_model()
    save_model(tmp_path / "model.safetensors", model)
    np.testing.assert_array_equal(load_model(tmp_path).weights, model.weights)
    counted = Recommender.open(tmp_path).inspect()["bytes"]
    assert counted["weights"] == model.weights.nbytes == 4 * 60
    assert counted["total"] == sum(count for name, count in counted.items() if name != "total")
    assert make_model().bytes_account()["weights"] == 0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("format", None, "format is None, expected 'sparserec_np'"),
        ("format", "pt", "another program"),
        ("format_version", "2", "only '1' is known here: update"),
        ("format_version", None, "format_version is None"),
        ("model", "", "model is missing"),
        ("method", None, "method is missing"),
        ("budget", "-1", "budget is '-1', expected a number"),
        ("budget", "٣", "budget"),
        ("seed", "x", "seed"),
        ("dim", "0", "dim is 0, expected 1 to 65,536"),
        ("dim", "7", "columns holds 7, expected less than 7"),
        ("dim", "9" * 5000, "dim"),
        ("n_users", "31", "users.indptr holds 31 numbers, expected 32"),
        ("n_items", "999999999999999999", "items.indptr"),
        ("user_id_kind", "int", "user_ids is missing"),
        ("item_id_kind", "uuid", "item_id_kind is 'uuid'"),
        ("metrics", "[1]", "metrics must be a JSON object"),
        ("metrics", "{", "metrics is not valid JSON"),
        ("metrics", '{"x": Infinity}', "metrics holds Infinity"),
    ],
)
def test_wrong_metadata_are_refused_by_name(key: str, value: str | None, sentence: str) -> None:
    artifact = make_model(user_ids=TEXT_IDS).encode()
    metadata = {name: text for name, text in {**artifact.metadata, key: value}.items() if text is not None}
    with pytest.raises(ArtifactError, match=sentence):
        decode_model(artifact._replace(metadata=metadata))


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="without a model.safetensors"):
        Recommender.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        Recommender.open(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="not a regular file"):
        Recommender.open("/dev/null")


# -- whatever else may be in a file

SMALL = make_model(
    n_users=4, n_items=6, dim=3, user_ids=np.array(["a", "b", "é", "d"]), item_ids=GAPPY_IDS[:6]
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved_bytes(SMALL, tmp_path_factory.mktemp("sound"))


def open_and_use(data: bytes) -> None:
    """Serves every user; ArtifactError is the only error there may be, and what is accepted must work."""
    try:
        recommender = Recommender(parse_artifact(data))
    except ArtifactError as error:
        assert str(error)
        return
    json.dumps(recommender.inspect(), allow_nan=True)
    if recommender.model.metadata["model"] not in SERVED:  # which can be inspected, no more
        with pytest.raises(ArtifactError, match="none of those that are served"):
            recommender.recommend(recommender.user_ids[0], 3)
        return
    for row in range(len(recommender.user_ids)):
        items, scores = recommender.recommend(recommender.user_ids[row], 3)
        assert len(items) == len(scores) == len(set(items))
        assert np.isfinite(scores).all()


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    in_header=st.booleans(),
)
def test_no_changed_bytes_crash_the_reader(sound: bytes, changes: Any, in_header: bool) -> None:
    header = 8 + int.from_bytes(sound[:8], "little")
    first, last = (0, header) if in_header else (header, len(sound))
    data = bytearray(sound)
    for place, byte in changes:
        data[first + int(place * (last - first))] = byte
    open_and_use(bytes(data))


@settings(max_examples=200, deadline=None)
@given(cut=st.floats(0, 1), length=st.integers(0, 40), tail=st.binary(max_size=40))
def test_no_cut_or_spliced_file_crashes_the_reader(
    sound: bytes, cut: float, length: int, tail: bytes
) -> None:
    place = int(cut * len(sound))
    open_and_use(sound[:place] + tail + sound[place + length :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), value=json_values)
def test_no_header_value_crashes_the_reader(sound: bytes, data: Any, value: Any) -> None:
    size = 8 + int.from_bytes(sound[:8], "little")
    header = json.loads(sound[8:size])
    name = data.draw(st.sampled_from(sorted(header)))
    field = data.draw(st.sampled_from([None, *sorted(header[name])]))
    if field is None:
        header[name] = value
    else:
        header[name][field] = value
    open_and_use(raw_file(header, sound[size:]))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_array_contents_crash_the_reader(data: Any) -> None:
    artifact = SMALL.encode()
    name = data.draw(st.sampled_from(sorted(artifact.arrays)))
    array = artifact.arrays[name].copy()
    raw = array.view(np.uint8)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = Artifact({**artifact.arrays, name: array}, artifact.metadata, 0)
    try:
        recommender = Recommender(changed)
    except ArtifactError:
        return
    for row in range(len(recommender.user_ids)):
        assert np.isfinite(recommender.recommend(recommender.user_ids[row]).scores).all()
