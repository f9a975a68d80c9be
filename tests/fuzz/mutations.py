"""Files that are nearly model files: sound ones, changed in their arrays, in their header, or byte by byte.

Changes to arrays keep the layout sound, so that they get past the first checks to the later ones;
changes to the header lie about what follows; changes to bytes know nothing. ``mutate`` draws a few
of each.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import DTYPES, Artifact
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import keep_users, without_seen
from tests.makers.served_models import (
    as_lightgcn,
    make_fism_model,
    make_model,
    make_ridge_model,
    make_towers_model,
)

Rng = np.random.Generator

TEXTS = np.array([f"Größe {i}" for i in range(12)])


def sound_files() -> list[bytes]:
    """Small model files of every kind: ids as row numbers, integers and text; narrow and wide; empty, full, packed."""
    models = [
        make_model(6, 9, dim=4, seed=1),
        make_model(12, 8, dim=300, density=0.02, seed=2, user_ids=TEXTS, item_ids=np.arange(8) * 40 - 99),
        make_model(5, 12, dim=3, density=1.0, seed=3, user_ids=np.arange(5)[::-1] + 10**12, item_ids=TEXTS),
        make_model(3, 400, dim=8, density=0.1, seed=4, decimals=0),
        make_model(4, 6, dim=2, density=0.0, seed=5, user_ids=TEXTS[:4], item_ids=TEXTS[:6]),
        make_model(1, 1, dim=1, density=1.0, seed=6),
        as_lightgcn(make_model(7, 9, dim=3, density=0.6, seed=7), layers=3),
        as_lightgcn(make_model(4, 8, dim=2, seed=8), layers=2, similarity="cosine", temperature=0.2),
        as_lightgcn(make_model(6, 7, dim=4, density=0.5, seed=9), layers=1, held_out=(0, 3, 5)),
        make_towers_model(hidden=4, seed=10, n_users=5, n_items=8, dim=6, density=0.6),
        make_towers_model(hidden=2, seed=11, n_users=3, n_items=4, dim=1, density=1.0),
        make_fism_model(2, seed=12, n_users=7, n_items=9, dim=4, density=0.6),
        make_fism_model(3, seed=13, n_users=5, n_items=8, dim=300, density=0.02, user_ids=TEXTS[:5]),
    ]
    pairs = [
        make_fism_model(2, seed=16, marks=True, n_users=6, n_items=9, dim=3, density=0.4),
        make_fism_model(
            3, seed=17, marks=True, mark_power=0.375, n_users=4, n_items=300, dim=5, density=0.02
        ),
    ]
    solving = [
        make_ridge_model(3, seed=14, n_users=7, n_items=9, dim=4, density=0.6),
        make_ridge_model(6, seed=15, ridge=0.001, n_users=5, n_items=8, dim=300, density=0.02),
    ]
    packed = [
        pack(models[1], "float16"),
        pack(models[3], "int8"),
        pack(keep_users(models[2], np.zeros(0, np.intp)), "int8"),
        pack(without_seen(models[0]), "float16"),
        pack(models[-2], "int8"),
        pack(without_seen(models[-1]), "float16"),
        pack(models[-1], "int8"),
        pack(solving[0], "int8"),
    ]
    opinions = [with_opinions(model, seed) for seed, model in enumerate((models[0], models[11], solving[0]))]
    return [
        *(_written(model.encode()) for model in models),
        *map(_written, packed),
        *(_written(model.encode()) for model in (*solving, *opinions, *pairs)),
        _written(pack(pairs[1], "int8")),
        _written(pack(opinions[1], "int8")),
    ]


def with_opinions(model: ServedModel, seed: int) -> ServedModel:
    """The same model, whose users dislike some of what they have, and have weights of the rest."""
    rng, n = np.random.default_rng(seed), len(model.seen_items)
    disliked = np.flatnonzero(rng.random(n) < 0.3).astype(np.int32)
    return replace(model, disliked=disliked, seen_weights=rng.uniform(0.1, 9, n).astype(np.float32))


def _written(artifact: Artifact) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_artifact(path, artifact.arrays, artifact.metadata)
        return path.read_bytes()


class Raw(str):
    """JSON as it will stand in the header, sound or not."""


@dataclass
class Draft:
    """A file taken apart: what is not overwritten is laid out soundly.

    Attributes:
        arrays: name, dtype, shape and bytes of each.
        metadata: names and values; a list, because a name may occur twice.
        entries: header entries that say something else: place in ``arrays`` -> field -> value.
        extra: more members of the header, as they stand.
        length: what the header length is off by.
        tail: bytes behind the last array.
    """

    arrays: list[tuple[str, str, list[int], bytes]]
    metadata: list[tuple[str, Any]]
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    extra: list[tuple[str, Any]] = field(default_factory=list)
    length: int = 0
    tail: bytes = b""

    @classmethod
    def read(cls, data: bytes) -> Draft | None:
        """The parts of a file that is sound enough to have some."""
        size = 8 + int.from_bytes(data[:8], "little")
        try:
            header = json.loads(data[8:size])
            metadata = [(name, str(value)) for name, value in header.pop("__metadata__", {}).items()]
            arrays = []
            for name, entry in header.items():
                first, last = entry["data_offsets"]
                shape = [int(number) for number in entry["shape"]]
                arrays.append((name, str(entry["dtype"]), shape, data[size + first : size + last]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            return None
        return cls(arrays, metadata)

    def render(self) -> bytes:
        """The file."""
        members: list[tuple[str, Any]] = [("__metadata__", _members(self.metadata)), *self.extra]
        end = 0
        for place, (name, kind, shape, data) in enumerate(self.arrays):
            entry = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
            end += len(data)
            entry |= self.entries.get(place, {})
            members.append((name, _members(list(entry.items()))))
        header = _members(members).encode("utf-8", "surrogatepass")
        length = (len(header) + self.length) % 2**64
        return length.to_bytes(8, "little") + header + b"".join(part[3] for part in self.arrays) + self.tail


def _members(pairs: list[tuple[str, Any]]) -> Raw:
    return Raw("{" + ",".join(f"{json.dumps(name)}:{_spelled(value)}" for name, value in pairs) + "}")


def _spelled(value: Any) -> str:
    if isinstance(value, list) and not all(type(part) is int for part in value):
        return "[" + ",".join(map(_spelled, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value)


INTEGERS = [
    0,
    1,
    2,
    7,
    8,
    255,
    256,
    257,
    65_535,
    65_536,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    2**64,
    -1,
]
HUGE = [Raw("9" * 400), Raw("9" * 5_000), 10**19, 2**200]
ODD: list[Any] = [
    *INTEGERS,
    *HUGE,
    None,
    True,
    False,
    0.5,
    1.0,
    "",
    "x",
    "1",
    [],
    [1],
    [[1]],
    Raw("{}"),
    Raw("NaN"),
    Raw("-Infinity"),
    Raw("1e999"),
    Raw("-0"),
    Raw("'x'"),
    Raw("[" * 3_000),
    Raw("[" * 900 + "]" * 900),
    "\ud800",
    "\x1b[2J",
    "a\x00b",
    "٣",
    "é" * 300,
]
METRICS = [
    "{}",
    "[]",
    "null",
    '{"x": 1e999}',
    '{"x": -1e999}',
    '{"x": NaN}',
    '{"x": 1' + "0" * 4_200 + "}",
    '{"x": 1' + "0" * 5_000 + "}",
    '{"x": "\\ud800"}',
    '{"\\ud800": 1}',
    '{"x": "\\u001b[2J"}',
    '{"x": [1, {"y": null}]}',
    '{"x": ' + "[" * 800 + "]" * 800 + "}",
    '{"x": ' * 300 + "1" + "}" * 300,
    '{"x": 1, "x": 2}',
    '{"x": true}',
    '{"": 0.5}',
    '{"x": 5e-324}',
]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-38, 1e18, -1e19, 1e37, 3.4e38, np.inf, -np.inf, np.nan]


def _any(rng: Rng, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


# -- changes to arrays


def _change_elements(draft: Draft, rng: Rng) -> None:
    place, (name, kind, shape, data) = _pick(draft, rng)
    dtype = DTYPES.get(kind, np.dtype("u1"))
    array = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype).copy()
    if not len(array):
        return
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(array)))
        gently = rng.random() < 0.6  # what might pass
        if dtype.kind == "f":
            value = rng.normal() * 10.0 ** rng.integers(-9, 9) if gently else _any(rng, FLOATS)
            array[at] = (
                np.clip(value, np.finfo(dtype).min, np.finfo(dtype).max) if np.isfinite(value) else value
            )
        else:
            old = int(array[at])
            number = int(_any(rng, [old + 1, old - 1, int(array[at - 1])] if gently else INTEGERS))
            array[at] = np.array(number % 2**63, np.int64).astype(dtype)
    draft.arrays[place] = (name, kind, shape, array.tobytes())


def _rearrange(draft: Draft, rng: Rng) -> None:
    place, (name, kind, shape, data) = _pick(draft, rng)
    dtype = DTYPES.get(kind, np.dtype("u1"))
    array = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype).copy()
    change: Callable[[Any], Any] = _any(
        rng,
        [
            np.sort,
            lambda a: a[::-1],
            lambda a: np.roll(a, 1),
            np.zeros_like,
            lambda a: np.full_like(a, a[-1:].sum()),
            rng.permutation,
            np.negative,
        ],
    )
    with np.errstate(all="ignore"):
        draft.arrays[place] = (name, kind, shape, change(array).tobytes())


def _resize(draft: Draft, rng: Rng) -> None:
    """Some elements fewer or more, and the shape to match."""
    place, (name, kind, _, data) = _pick(draft, rng)
    width = DTYPES.get(kind, np.dtype("u1")).itemsize
    count = max(0, len(data) // width + int(_any(rng, [-1, 1, -2, 2, -len(data), 100])))
    data = (data + bytes(count * width))[: count * width]
    draft.arrays[place] = (name, kind, [count], data)


def _convert(draft: Draft, rng: Rng) -> None:
    """The same numbers in another type."""
    place, (name, kind, shape, data) = _pick(draft, rng)
    other = _any(rng, list(DTYPES))
    dtype = DTYPES.get(kind, np.dtype("u1"))
    if len(data) % dtype.itemsize == 0:
        with np.errstate(all="ignore"):
            converted = np.frombuffer(data, dtype).astype(DTYPES[other])
        draft.arrays[place] = (name, other, shape, converted.tobytes())


def _drop_array(draft: Draft, rng: Rng) -> None:
    place, _ = _pick(draft, rng)
    del draft.arrays[place]


def _copy_array(draft: Draft, rng: Rng) -> None:
    """An array a second time, under its own name or another's, or one that nobody asked for."""
    _, (name, kind, shape, data) = _pick(draft, rng)
    _, (other, *_) = _pick(draft, rng)
    new = _any(rng, [name, other, "more", "users.values", "__metadata__", "", "\ud800", "x" * 500])
    draft.arrays.insert(int(rng.integers(len(draft.arrays) + 1)), (new, kind, shape, data))


def _swap_arrays(draft: Draft, rng: Rng) -> None:
    """Two arrays under each other's names."""
    one, (name, *rest) = _pick(draft, rng)
    other, (other_name, *other_rest) = _pick(draft, rng)
    draft.arrays[one] = (other_name, *rest)  # type: ignore[assignment]
    draft.arrays[other] = (name, *other_rest)  # type: ignore[assignment]


def _reshape(draft: Draft, rng: Rng) -> None:
    """A shape of as many elements."""
    place, (name, kind, _, data) = _pick(draft, rng)
    count = len(data) // DTYPES.get(kind, np.dtype("u1")).itemsize
    new = _any(
        rng, [[1, count], [count, 1], [1] * 7 + [count], [1] * 8 + [count], [], [count, 0], [0, 2**62]]
    )
    draft.arrays[place] = (name, kind, new, data)


# -- changes to the header


def _change_number(draft: Draft, rng: Rng) -> None:
    """One of the metadata that other fields are measured by."""
    key = _any(rng, ["dim", "n_users", "n_items", "budget", "seed", "format_version", "row_entries"])
    old = next((value for name, value in draft.metadata if name == key), "0")
    number = int(old) if isinstance(old, str) and old.isascii() and old.isdecimal() and len(old) < 19 else 0
    value = _any(
        rng, [number + 1, number - 1, number * 2, *INTEGERS, 10**17, 10**18, "1e3", " 4", "4 ", "+4"]
    )
    _set_metadata(draft, key, str(value))


def _change_user_rows(draft: Draft, rng: Rng) -> None:
    """How users' rows are made, and what they are solved for with."""
    key = _any(rng, ["user_rows", "untouched_weight", "ridge", "mark_power", "item_columns"])
    numbers = ["0", "-1", "0.001", "1e-4", "1e6", "1e7", "nan", "inf", "x", "", "1" * 400, "0.3 ", "٣"]
    numbers += ["0.375", "0.5", "-0", "9", "300"]
    ways = ["sum", "ridge", "neighbours", "mean", ""]
    _set_metadata(draft, key, _any(rng, ways if key == "user_rows" else numbers))


def _change_kind(draft: Draft, rng: Rng) -> None:
    key = _any(rng, ["user_id_kind", "item_id_kind"])
    _set_metadata(draft, key, _any(rng, ["range", "int", "text", "uuid", ""]))


def _change_metrics(draft: Draft, rng: Rng) -> None:
    _set_metadata(draft, "metrics", _any(rng, METRICS))


def _change_seen(draft: Draft, rng: Rng) -> None:
    """What the file says of the seen items in it."""
    _set_metadata(draft, "seen", _any(rng, ["left out", "in part", "all", ""]))


def _change_metadata(draft: Draft, rng: Rng) -> None:
    if draft.metadata:
        _set_metadata(draft, _any(rng, draft.metadata)[0], _any(rng, ODD))


def _drop_metadata(draft: Draft, rng: Rng) -> None:
    if draft.metadata:
        del draft.metadata[int(rng.integers(len(draft.metadata)))]


def _repeat_metadata(draft: Draft, rng: Rng) -> None:
    if draft.metadata:
        draft.metadata.append(_any(rng, draft.metadata))


def _change_entry(draft: Draft, rng: Rng) -> None:
    """A field of an array's entry that is not what it should be, or is not there at all as such."""
    place, _ = _pick(draft, rng)
    name = _any(rng, ["dtype", "shape", "data_offsets", "more"])
    value = _any(rng, [*ODD, [_any(rng, ODD)], [_any(rng, ODD), _any(rng, ODD)], _any(rng, list(DTYPES))])
    draft.entries.setdefault(place, {})[name] = value


def _shift_offsets(draft: Draft, rng: Rng) -> None:
    place, _ = _pick(draft, rng)
    starts = np.cumsum([0, *(len(part[3]) for part in draft.arrays)]).tolist()
    offsets = [starts[place], starts[place + 1]]
    at, by = int(rng.integers(2)), int(_any(rng, [1, -1, 8, -8, 2**31, 2**63, 2**64]))
    if rng.random() < 0.3:
        offsets = [offset + by for offset in offsets]
    else:
        offsets[at] += by
    draft.entries.setdefault(place, {})["data_offsets"] = offsets if rng.random() < 0.9 else offsets[::-1]


def _change_dtype(draft: Draft, rng: Rng) -> None:
    place, _ = _pick(draft, rng)
    kind = _any(rng, [*DTYPES, "BF16", "BOOL", "U64", "f4", ""])
    draft.entries.setdefault(place, {})["dtype"] = kind


def _change_shape(draft: Draft, rng: Rng) -> None:
    place, (_, _, shape, _) = _pick(draft, rng)
    sizes = [*shape, *(_any(rng, [*INTEGERS, *HUGE]) for _ in range(int(rng.integers(1, 3))))]
    draft.entries.setdefault(place, {})["shape"] = sizes[int(rng.integers(len(sizes))) :]


def _add_member(draft: Draft, rng: Rng) -> None:
    draft.extra.append((_any(rng, ["x", "__metadata__", "", "users.values"]), _any(rng, ODD)))


def _change_length(draft: Draft, rng: Rng) -> None:
    draft.length = int(_any(rng, [1, -1, 8, -8, -(10**4), 2**20, 2**31, 2**63, -(2**63)]))


def _add_tail(draft: Draft, rng: Rng) -> None:
    draft.tail = rng.bytes(int(rng.integers(1, 20)))


def _pick(draft: Draft, rng: Rng) -> tuple[int, tuple[str, str, list[int], bytes]]:
    if not draft.arrays:
        draft.arrays.append(("x", "U8", [1], b"\0"))
    place = int(rng.integers(len(draft.arrays)))
    return place, draft.arrays[place]


def _set_metadata(draft: Draft, key: str, value: Any) -> None:
    draft.metadata = [(name, old) for name, old in draft.metadata if name != key] + [(key, value)]


# -- changes to bytes


def _overwrite(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        if changed:
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    return bytes(changed)


def _overwrite_header(data: bytes, rng: Rng) -> bytes:
    """Characters that JSON knows, where JSON should be."""
    end = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if end > 8:
            changed[int(rng.integers(8, end))] = int(_any(rng, b'0123456789-+.eE[]{},:" \\truefalsn\x00\xff'))
    return bytes(changed)


def _cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _splice(data: bytes, rng: Rng) -> bytes:
    """Some bytes out, some others in."""
    at = int(rng.integers(len(data) + 1))
    start = int(rng.integers(len(data) + 1))
    return data[:at] + data[start : start + int(rng.integers(40))] + data[at + int(rng.integers(40)) :]


IN_ARRAYS = [
    _change_elements,
    _change_elements,
    _change_elements,
    _rearrange,
    _resize,
    _convert,
    _drop_array,
    _copy_array,
    _swap_arrays,
    _reshape,
]
IN_HEADER = [
    _change_number,
    _change_user_rows,
    _change_kind,
    _change_metrics,
    _change_seen,
    _change_metadata,
    _drop_metadata,
    _repeat_metadata,
    _change_entry,
    _shift_offsets,
    _change_dtype,
    _change_shape,
    _add_member,
    _change_length,
    _add_tail,
]
IN_BYTES = [_overwrite, _overwrite_header, _cut, _splice]


def mutate(data: bytes, rng: Rng) -> bytes:
    """A file like ``data``: one to three changes, mostly of one layer; equal generators give equal files."""
    draft = Draft.read(data)
    layer = rng.random()
    if draft is not None and layer < 0.85:
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            changes = IN_ARRAYS if layer < 0.45 else IN_HEADER
            _any(rng, changes)(draft, rng)
        data = draft.render()
    if draft is None or layer >= 0.8:
        data = _any(rng, IN_BYTES)(data, rng)
    return data
