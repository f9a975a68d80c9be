"""A page's part in federated training: the client's answers byte for byte, and the same model."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.federated.client import Client
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.packets import Kind, Question, quantised, signs_of
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.serving.packing import pack
from tests.federated.test_endpoint import items_of, model_bytes
from tests.makers.clients import server_for, world
from tests.makers.devices import all_take_part, running, served, token
from tests.makers.served_models import make_fism_model, make_model, make_ridge_model
from tests.serving.web.node import NODE, SOURCES, needs_node

ANSWERS = """
import { text } from "node:stream/consumers";
import { answer, readQuestion } from "./federated.js";
import { Recommender } from "./sparserec.js";
const told = [];
for (const { question, items, heldOut, token } of JSON.parse(await text(process.stdin))) {
  try {
    const asked = readQuestion(Buffer.from(question, "base64"));
    const packet = await answer(asked, { items, heldOut, token: BigInt(token), open: Recommender.open });
    told.push(Buffer.from(packet).toString("base64"));
  } catch (error) {
    told.push({ name: error.name, message: error.message });
  }
}
console.log(JSON.stringify(told));
"""
Asked = tuple[bytes, list[int], list[int]]  # a question, and the items and held-out items of who answers it


def run(code: str, given: Any = None, *flags: str) -> str:
    """Runs a module of JavaScript in Node, beside the sources, and returns what it prints."""
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", code, *flags],
        input=json.dumps(given),
        cwd=SOURCES,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_page(asked: Sequence[Asked]) -> list[Any]:
    """What the page's module answers: bytes, or the name and message of what it throws."""
    told = []
    for packet, items, held_out in asked:
        token = Client(items, b"secret")._token(int.from_bytes(packet[8:12], "little"))
        question = base64.b64encode(packet).decode()
        told.append({"question": question, "items": items, "heldOut": held_out, "token": str(token)})
    return [base64.b64decode(one) if isinstance(one, str) else one for one in json.loads(run(ANSWERS, told))]


def questions(seed: int, n_items: int, width: int) -> Iterator[Question]:
    """One of each kind that asks for sums."""
    rng = np.random.default_rng(seed)
    scales, rows = quantised(rng.normal(size=(n_items, width)) * rng.lognormal(0, 2, (n_items, 1)))
    factor = rng.normal(size=(width, width))
    base = (factor @ factor.T + np.eye(width)).astype(np.float32)
    how: dict[str, Any] = {"n_items": n_items, "width": width, "most": 5}
    tags = rng.integers(0, 2**32, 4).tolist()
    yield Question(Kind.COUNT, tags[0], n_items)
    drawn = int(rng.integers(2**63)) * 2 + 1
    yield Question(Kind.SIGNS, tags[1], grid=-7, seed=drawn, scales=scales, **how)
    yield Question(Kind.ROWS, tags[2], grid=-9, lands=False, scales=scales, rows=rows, **how)
    yield Question(Kind.SOLVE, tags[3], grid=-12, ridge=0.7, scales=scales, rows=rows, base=base, **how)


def people(seed: int, n_items: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    sizes = [0, 1, 2, *rng.integers(3, 60, 20).tolist()]
    return [np.unique(rng.integers(0, n_items + 5, size)).tolist() for size in sizes]


@needs_node
@pytest.mark.parametrize(("n_items", "width"), [(300, 1), (200, 33), (5000, 64), (300, 256)])
def test_answers_are_the_clients_to_the_last_byte(n_items: int, width: int) -> None:
    asked = [
        (question.encode(), items, [])
        for question in questions(width, n_items, width)
        for items in people(width, n_items)
    ]
    for (packet, items, _), found in zip(asked, by_page(asked), strict=True):
        assert found == Client(items, b"secret").answer(packet), (Question.decode(packet).kind, items, found)


@needs_node
@pytest.mark.parametrize("kind", ["fism", "neighbours", "ridge", "mf"])
def test_lists_are_measured_as_the_client_measures_them(kind: str) -> None:
    models = {
        "fism": make_fism_model(5, seed=1),
        "neighbours": make_fism_model(4, seed=2, marks=True),
        "ridge": make_ridge_model(5, seed=3),
        "mf": make_model(seed=4),
    }
    artifact = pack(models[kind], "int8")
    file = io.BytesIO()
    write_artifact(file, artifact.arrays, artifact.metadata)
    rng, asked = np.random.default_rng(0), []
    for tag, length in enumerate((1, 5, 20, 45)):
        question = Question(
            Kind.RANK, tag, 50, lands=False, list_length=length, model=file.getvalue()
        ).encode()
        for size in (0, 1, 8, 20):
            order = rng.permutation(50).tolist()
            asked.append((question, sorted(order[:size]), sorted(order[size : size + 7])))
    asked.append((asked[-1][0], asked[-1][1], []))
    found = by_page(asked)
    for (packet, items, held_out), one in zip(asked, found, strict=True):
        assert one == Client(items, b"secret", held_out).answer(packet)
    assert any(int.from_bytes(one[14:18], "little") for one in found)  # somebody had something to measure


@needs_node
def test_signs_are_shake_128_over_more_than_a_block() -> None:
    code = "const { shake128 } = await import('./federated.js');"
    code += "console.log(JSON.stringify([...shake128(7n, 2n ** 63n + 5n, 400)]));"
    found = np.unpackbits(np.array(json.loads(run(code)), np.uint8)).astype(np.float32) * 2 - 1
    assert np.array_equal(found, signs_of(7, 2**63 + 5, 3200))


# -- over HTTP

TAKE_PART = """
import { text } from "node:stream/consumers";
import { takePart } from "./federated.js";
import { Recommender } from "./sparserec.js";
const one = async ({ address, token, ids }) => {
  const told = [];
  const secret = new TextEncoder().encode(`secret of ${token}`);
  const how = { address, token, ids: () => ids, secret, open: Recommender.open, told: (sent) => told.push(sent) };
  try {
    return { counted: await takePart({ ...how, patience: { tries: 3, longest: 0.05 } }), told };
  } catch (error) {
    return { name: error.name, message: error.message };
  }
};
console.log(JSON.stringify(await Promise.all(JSON.parse(await text(process.stdin)).map(one))));
"""


def take_part_in_node(address: str, tokens: Sequence[str], items: Sequence[Sequence[Any]]) -> list[Any]:
    """Lets the page's module take part for each list of ids; what each was told."""
    given = [
        {"address": address, "token": one, "ids": list(ids)} for one, ids in zip(tokens, items, strict=True)
    ]
    found: list[Any] = json.loads(run(TAKE_PART, given))
    return found


@needs_node
@pytest.mark.parametrize("way", [SpectralWay(), LeastSquaresWay(rounds=1)], ids=lambda way: way.start)
def test_pages_and_devices_make_the_model_of_the_simulation(way: Any, tmp_path: Path) -> None:
    log, _ = world(50, 60)
    simulated = server_for(log, way)
    simulate(simulated, clients_of(log, None, 0), Conditions(0.3, silent=0.2), 1)
    server = server_for(log, way)
    items = items_of(log)
    with served(50, log.item_ids, connections=64) as place:
        with running(place.desk, server) as ledgers:
            threads, _ = all_take_part(place.address, items[:40])
            node = threading.Thread(
                target=lambda: found.extend(
                    take_part_in_node(place.address, [token(k) for k in range(40, 50)], items[40:])
                )
            )
            found: list[Any] = []
            node.start()
        place.desk.end(20)
        for thread in (*threads, node):
            thread.join(60)
            assert not thread.is_alive()
    assert [one["counted"] for one in found] == [len(ledgers[0].passes)] * 10
    assert model_bytes(tmp_path / "served", server) == model_bytes(tmp_path / "simulated", simulated)
    lists = [sent["items"] for sent in found[0]["told"] if sent["items"]]
    assert lists and all(one == [str(item) for item in sorted(items[40])] for one in lists)


@needs_node
def test_a_page_is_told_what_is_wrong() -> None:
    with served(5, np.arange(9)) as place:
        (unknown,) = take_part_in_node(place.address, ["nobody-knows-this-token"], [[1]])
    (away,) = take_part_in_node("http://127.0.0.1:9", [token(0)], [[1]])
    (open_line,) = take_part_in_node("http://shop.example", [token(0)], [[1]])
    assert unknown == {"name": "TrainingError", "message": "The server does not know this code"}
    assert away["message"] == "http://127.0.0.1:9 could not be reached in 3 tries"
    assert "has no TLS" in open_line["message"]


@needs_node
def test_what_is_too_heavy_is_refused_by_name() -> None:
    heavy = Question(Kind.SOLVE, 1, 0, 2000, base=np.zeros((2000, 2000), np.float32)).encode()
    broken = [(heavy, [1], []), (heavy[:40], [1], []), (heavy[:5] + b"\7" + heavy[6:], [1], [])]
    said = [one["message"] for one in by_page(broken)]
    assert said[0].startswith('The pass "solve" of 2000 columns is too heavy for a page')
    assert "found other bytes" in said[1] and "kind 7, which this page does not know" in said[2]
