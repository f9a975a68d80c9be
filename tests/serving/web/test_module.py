"""The module of JavaScript: it gives the runtime's lists and scores, and refuses what the runtime refuses."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import Artifact, ArtifactError, Recommender, recency_levels
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from tests.fuzz.mutations import sound_files, with_opinions
from tests.fuzz.run import make_file
from tests.makers.served_models import (
    as_lightgcn,
    make_fism_model,
    make_model,
    make_ridge_model,
    make_towers_model,
    once,
)
from tests.serving.web.node import FORMS, NODE, SOURCES, Asked, ask, ask_runtime, needs_node, same

IDS = {
    "user_ids": np.arange(30)[::-1] * 7 + 10**12,
    "item_ids": np.array([f"Größe {row}" for row in range(50)]),
}


def named(model: ServedModel, name: str) -> ServedModel:
    """The same tables under the name of another model."""
    model.metadata["model"] = name
    return model


@functools.cache
def models() -> dict[str, ServedModel]:
    """A model of each kind that is served, and of each way to make rows."""
    fism = make_fism_model(5, seed=1, recency=0.7)
    return {
        "mf": make_model(seed=2, **IDS),
        "mf-wide": make_model(seed=3, dim=270, density=0.04, user_ids=IDS["item_ids"][:30]),
        "mf-equals": make_model(seed=4, decimals=0, item_ids=np.arange(50) * 40 - 99),
        "popularity": named(make_model(seed=5, dim=1, density=1.0), "popularity"),
        "itemknn": named(make_model(seed=6, dim=50, density=0.1), "itemknn"),
        "fism": make_fism_model(5, seed=7, **IDS),
        "fism-recency": fism,
        "fism-opinions": with_opinions(fism, 8),
        "fism-wide": make_fism_model(40, seed=9, dim=700, density=0.05),
        "neighbours": with_opinions(make_fism_model(4, seed=10, recency=2.0, marks=True), 11),
        "neighbours-wide": make_fism_model(4, seed=12, marks=True, n_items=400, dim=9, density=0.1),
        "pairs": once(make_fism_model(4, seed=16, marks=True, mark_power=0.375)),
        "pairs-recency": once(make_fism_model(4, seed=17, marks=True, mark_power=0.125, recency=0.5)),
        "ridge": with_opinions(make_ridge_model(5, seed=13, recency=1.0), 14),
        "ridge-wide": make_ridge_model(30, seed=15, dim=270, density=0.04, **IDS),
    }


def forms(name: str, model: ServedModel) -> Iterator[tuple[str, Artifact]]:
    """The model as a run's file, and as exports of every type of values."""
    rows = np.arange(0, model.users.rows, 3)
    yield name, model.encode()
    yield f"{name}-int8", pack(model, "int8")
    yield f"{name}-some-users", pack(keep_users(model, rows), "float16")
    yield f"{name}-no-users", pack(keep_users(model, rows[:0]), "int8")
    yield f"{name}-without-seen", pack(without_seen(model), "float32")
    yield f"{name}-some-items", pack(keep_items(model, np.arange(0, model.items.rows, 2)), "float16")


def questions(recommender: Recommender) -> list[Asked]:
    """Lists of everybody, of made-up people, and around items; some with options, some that are refused."""
    rng = np.random.default_rng(0)
    users, items = (
        [ids[row] for row in range(len(ids))] for ids in (recommender.user_ids, recommender.item_ids)
    )
    asked: list[Asked] = []
    for user in users:
        asked.append(("recommend", user, {"exclude": [items[1]]}))
    asked += [("score", user, items) for user in users[::4]]
    asked += [("similarItems", item, {"n": 5}) for item in items[:10]]
    for size in range(1, 15, 2):
        liked = [items[row] for row in rng.choice(len(items), min(size, len(items)), replace=False)]
        asked.append(("recommendForItems", liked, {"n": len(items)}))
        asked.append(("recommendForItems", [*liked, liked[0]], {"filterSeen": False, "items": items[::2]}))
    for user in (*users[:6], "nobody", -5):
        asked += [("recommend", user), ("recommend", user, {"n": 3, "filterSeen": False, "items": items[:9]})]
        asked += [("recommend", user, {"onUnknown": way}) for way in ("popular", "skip")]
    asked += [
        ("recommendForItems", given, {"onUnknown": "popular"})
        for given in ([], ["nothing"], [*items[:2], "x"])
    ]
    asked += [("recommendForItems", []), ("recommendForItems", ["nothing"]), ("similarItems", "nothing")]
    return asked


def written(folder: Path, name: str) -> list[Path]:
    """Writes a model in each of its forms."""
    paths = []
    for form, artifact in forms(name, models()[name]):
        paths.append(folder / form)
        write_artifact(paths[-1], artifact.arrays, artifact.metadata)
    return paths


@needs_node
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.endswith("-wide")) for name in models()]
)
def test_lists_and_scores_are_the_runtimes_to_the_last_bit(tmp_path: Path, name: str) -> None:
    recommenders = [(path, Recommender.open(path)) for path in written(tmp_path, name)]
    asked = [questions(recommender) for _, recommender in recommenders]
    jobs = [(path, one) for (path, _), one in zip(recommenders, asked, strict=True)]
    answers, short = (ask(jobs, module) for module in FORMS)
    assert [one["answers"] for one in short] == [one.get("answers") for one in answers]
    for (path, recommender), one, answer in zip(recommenders, asked, answers, strict=True):
        assert "refused" not in answer, (path.name, answer)
        for question, found in zip(one, answer["answers"], strict=True):
            assert same(ask_runtime(recommender, question), found), (path.name, question, found)


@needs_node
def test_explanations_are_the_runtimes(tmp_path: Path) -> None:
    names = [name for name in models() if not name.endswith("-wide")]
    paths = [written(tmp_path, name)[0] for name in names]
    asked: list[Asked] = []
    for path in paths:
        recommender = Recommender.open(path)
        users, items = recommender.user_ids, recommender.item_ids
        pairs = [(users[row], items[7 * row % len(items)]) for row in range(0, len(users), 2)]
        asked.append([("explain", *pair, {"n": n}) for pair, n in zip(pairs, [3, None] * 8, strict=False)])
        asked[-1].append(("explain", "nobody", items[0]))
    for name, path, one, answer in zip(names, paths, asked, ask(zip(paths, asked, strict=True)), strict=True):
        # Of rows that are solved for, Python leaves the last step to LAPACK, whose sums have an order of their own.
        near = 1e-9 if name.startswith(("mf", "popularity", "ridge")) else 0.0
        recommender = Recommender.open(path)
        for question, found in zip(one, answer["answers"], strict=True):
            assert same(ask_runtime(recommender, question), found, near), (name, question, found)


@needs_node
def test_what_speaks_for_an_item_adds_up_to_its_score(tmp_path: Path) -> None:
    names = [name for name in models() if not name.endswith("-wide")]
    paths = [written(tmp_path, name)[0] for name in names]
    jobs: list[tuple[Path, list[Asked]]] = []
    for path in paths:
        items = [Recommender.open(path).item_ids[row] for row in (3, 9, 4, 1)]
        told: list[Asked] = [("explainForItems", items[:3], items[3], {"n": None})]
        jobs.append((path, [*told, ("recommendForItems", items[:3], {"items": items[3:]})]))
    for name, answer in zip(names, ask(jobs), strict=True):
        explained, found = answer["answers"]
        assert len(explained["items"]) == 3 and explained["exact"] == (
            not name.startswith(("mf", "popularity"))
        )
        assert explained["score"] == pytest.approx(sum(explained["scores"]))
        assert found["scores"] == pytest.approx([explained["score"]], rel=1e-4, abs=1e-6)


# -- what is refused


def few_questions(recommender: Recommender) -> list[Asked]:
    """Lists of a file that may hold no users, and no items."""
    users, items = (
        [ids[row] for row in range(min(3, len(ids)))] for ids in (recommender.user_ids, recommender.item_ids)
    )
    asked: list[Asked] = [("recommend", user, {"exclude": []}) for user in users]
    asked += [("explain", user, item) for user in users for item in items]
    asked += [("similarItems", item) for item in items]
    return [*asked, ("recommendForItems", items), ("recommendForItems", items[:1], {"filterSeen": False})]


def verdicts(folder: Path, module: str, first: int, count: int) -> list[tuple[str | None, dict[str, Any]]]:
    """Makes damaged files: for each what the runtime says of it, None if it is sound, and the module's answer."""
    sound, said, jobs = sound_files(), [], []
    for number in range(first, first + count):
        content = make_file(sound, 0, number)
        (folder / str(number)).write_bytes(content)
        asked: list[Asked] = []
        try:
            recommender = Recommender.open(content)
            kind = recommender.model.metadata["model"]
            said.append(None if kind in SERVED else f"a model '{kind}' is not served")
            asked = few_questions(recommender) if kind in SERVED else []
        except ArtifactError as error:
            said.append(str(error))
        jobs.append((folder / str(number), asked))
    return list(zip(said, ask(jobs, module), strict=True))


SERVED = ("mf", "popularity", "itemknn", "fism")
# What Python takes for a number, and the module does not: digits that are not ASCII, in weights of ridge.
FOREIGN_DIGITS = "\u0663"


def check_verdicts(found: list[tuple[str | None, dict[str, Any]]]) -> None:
    """Holds that the module accepts what the runtime accepts, and mostly refuses with the same sentence."""
    alike = told = 0
    for said, answer in found:
        refused = answer.get("refused")
        assert answer["milliseconds"] < 2_000
        if refused is None:
            assert said is None, (said, answer)
            for one in answer["answers"]:
                assert one.get("name") in (
                    None,
                    "ModelError",
                    "UnknownIdError",
                    "SeenItemsMissingError",
                    "RangeError",
                ), one
                scores = [] if "name" in one else one["scores"]
                assert (
                    all(isinstance(score, float | int) for score in scores) and scores == sorted(scores)[::-1]
                )
            continue
        assert refused["name"] == "ModelError", (said, refused)
        assert said is not None or FOREIGN_DIGITS in refused["message"], refused
        if said is not None and "is none of those" not in refused["message"] and "\\ud800" not in ascii(said):
            told += 1
            alike += said == refused["message"]
    assert alike > 0.9 * told > 0


@needs_node
@pytest.mark.parametrize("module", FORMS)
def test_damaged_files_are_refused_as_the_runtime_refuses_them(tmp_path: Path, module: str) -> None:
    check_verdicts(verdicts(tmp_path, module, 0, 400))


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("first", range(500, 10_500, 2_000))
def test_ten_thousand_damaged_files_are_refused_as_the_runtime_refuses_them(
    tmp_path: Path, first: int
) -> None:
    check_verdicts(verdicts(tmp_path, "sparserec.min.js", first, 2_000))


@needs_node
@pytest.mark.parametrize("said", [None, "", "0.5", "-0.125", "nan", "1e-1", "a quarter", "0.125 0"])
def test_another_power_of_marks_is_refused_as_the_runtime_refuses_it(
    tmp_path: Path, said: str | None
) -> None:
    artifact = make_fism_model(4, marks=True).encode()
    told = {name: text for name, text in artifact.metadata.items() if name != "mark_power"}
    told |= {} if said is None else {"mark_power": said}
    write_artifact(tmp_path / "model", artifact.arrays, told)
    content = (tmp_path / "model").read_bytes()
    with pytest.raises(ArtifactError) as error:
        Recommender.open(content)
    for module in FORMS:
        (answer,) = ask([(tmp_path / "model", [])], module)
        assert answer["refused"]["message"] == str(error.value)


@needs_node
@pytest.mark.parametrize("said", ["-0", "999", "many", FOREIGN_DIGITS])
def test_what_a_file_of_plain_sums_says_of_items_columns_is_not_read(tmp_path: Path, said: str) -> None:
    for dtype in ("float32", "int8"):
        artifact = pack(make_fism_model(5, seed=3), dtype)
        write_artifact(tmp_path / "model", artifact.arrays, artifact.metadata | {"item_columns": said})
        recommender = Recommender.open(tmp_path / "model")
        for module in FORMS:
            (answer,) = ask([(tmp_path / "model", [("recommendForItems", [1, 2, 3])])], module)
            assert answer["answers"][0]["items"] == recommender.recommend_for_items([1, 2, 3]).items


@needs_node
def test_nothing_is_made_as_long_as_a_file_says(tmp_path: Path) -> None:
    artifact = pack(make_model(), "float16")
    for field in ("n_items", "n_users"):
        write_artifact(tmp_path / field, artifact.arrays, artifact.metadata | {field: str(10**17)})
    for answer in ask((tmp_path / field, []) for field in ("n_items", "n_users")):
        assert (
            answer["refused"]["name"] == "ModelError"
            and "100,000,000,000,000,000" in answer["refused"]["message"]
        )


@needs_node
def test_models_that_are_not_served_are_refused_by_name(tmp_path: Path) -> None:
    refused = {"lightgcn": as_lightgcn(make_model()), "neumf": make_towers_model()}
    for name, model in refused.items():
        artifact = model.encode()
        write_artifact(tmp_path / name, artifact.arrays, artifact.metadata)
    for name, answer in zip(refused, ask((tmp_path / name, []) for name in refused), strict=True):
        assert f"a model '{name}' is none of those that are served here" in answer["refused"]["message"]


@needs_node
def test_a_worker_opens_files_too(tmp_path: Path) -> None:
    artifact = make_fism_model(5).encode()
    write_artifact(tmp_path / "model", artifact.arrays, artifact.metadata)
    code = """
        import { readFile } from "node:fs/promises";
        import { Worker } from "node:worker_threads";
        const inside = `const { parentPort, workerData } = require("node:worker_threads");
            import(workerData.module).then(({ Recommender }) => Recommender.open(workerData.content)).then(
              (recommender) => parentPort.postMessage(recommender.recommendForItems([1, 2, 3]).items));`;
        const workerData = { module: MODULE, content: new Uint8Array(await readFile(FILE)) };
        const worker = new Worker(inside, { eval: true, execArgv: [], workerData });
        worker.on("message", (items) => console.log(JSON.stringify(items)));
    """.replace("MODULE", json.dumps((SOURCES / "sparserec.js").as_uri()))
    said = run(code.replace("FILE", json.dumps(str(tmp_path / "model"))))
    assert json.loads(said) == Recommender.open(tmp_path / "model").recommend_for_items([1, 2, 3]).items


# -- the numbers


def run(code: str) -> str:
    """Runs a module of JavaScript in Node, beside the sources, and returns what it prints."""
    command = [str(NODE), "--input-type=module", "-e", code]
    return subprocess.run(command, cwd=SOURCES, capture_output=True, encoding="utf-8", check=True).stdout


@needs_node
def test_every_float16_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    model = make_model(n_users=1, n_items=len(numbers), dim=1, density=1.0)
    artifact = pack(model, "float16")
    arrays = artifact.arrays | {"items.values": numbers, "users.values": np.ones(1, np.float16)}
    write_artifact(tmp_path / "halves", arrays, artifact.metadata)
    (answer,) = ask([(tmp_path / "halves", [("score", 0, list(range(len(numbers))))])])
    assert np.array_equal(np.array(answer["answers"][0], np.float32), numbers.astype(np.float32))


@needs_node
@pytest.mark.parametrize("power", [0.3, 0.5, 1.0, 1.7, 4.0])
def test_powers_are_those_of_python(power: float) -> None:
    said = run(
        f"console.log(JSON.stringify(Array.from({{ length: 256 }}, (_, k) => Math.fround((k + 1) ** -{power}))))"
    )
    assert np.array_equal(np.array(json.loads(said), np.float32), recency_levels(power))


@needs_node
def test_sums_are_in_numpys_order() -> None:
    numbers = np.random.default_rng(0).lognormal(0, 5, 3000)
    ends = [*range(1, 40), 127, 128, 129, 136, 137, 1000, 3000]
    code = f"const all = {numbers.tolist()}; const {{ sum }} = await import('./sparserec.js');"
    said = run(f"{code} console.log(JSON.stringify({ends}.map((end) => sum(all.slice(0, end)))))")
    assert json.loads(said) == [numbers[:end].sum() for end in ends]
