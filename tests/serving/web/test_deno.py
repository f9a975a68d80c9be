"""The module in Deno, where it is installed: the runtime's lists, refusals, types, and a worker."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving.packing import pack
from tests.makers.served_models import make_fism_model, make_model, make_ridge_model
from tests.serving.web.node import FORMS, SOURCES, ask, ask_runtime, same

DENO = shutil.which("deno")
RUN = [str(DENO), "run", "--no-prompt", "--no-remote", "--allow-read"]
pytestmark = pytest.mark.skipif(DENO is None, reason="Deno was not found: there is no deno on the path")

TYPED = """
import { Recommender, type List, ModelError } from "MODULE/sparserec.js";
import { fetchItems } from "MODULE/ranges.js";
const content: ArrayBuffer = await fetchItems("model");
const recommender: Recommender = await Recommender.open(content);
const { items, scores, personal }: List = recommender.recommendForItems([7, "a", 1n], { n: 5, filterSeen: false });
const fault: Error = new ModelError("none");
console.log(items.length + scores[0], personal, fault, recommender.explain(7, 8, { n: null }).exact);
"""
WORKER = """
import { Recommender } from "MODULE/sparserec.js";
self.onmessage = async ({ data }) => {
  self.postMessage((await Recommender.open(data)).recommendForItems([1, 2, 3]).items);
};
"""
ASKS_WORKER = """
const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => { console.log(JSON.stringify(data)); worker.terminate(); };
worker.postMessage(await Deno.readFile(new URL("model", import.meta.url)));
"""


@pytest.mark.parametrize("module", FORMS)
def test_lists_are_the_runtimes_to_the_last_bit_and_damaged_files_are_refused(
    tmp_path: Path, module: str
) -> None:
    models = {"fism": make_fism_model(5, recency=0.7), "mf": make_model(), "ridge": make_ridge_model(5)}
    asked = [
        *(("recommend", user) for user in range(30)),
        *(("recommendForItems", [4, 8, user]) for user in range(30)),
        *(("similarItems", item) for item in range(9)),
        ("recommend", "nobody"),
    ]
    for name, model in models.items():
        artifact = pack(model, "int8")
        write_artifact(tmp_path / name, artifact.arrays, artifact.metadata)
    (tmp_path / "bad").write_bytes((tmp_path / "mf").read_bytes()[:-1])
    *found, refused = ask([(tmp_path / name, asked) for name in (*models, "bad")], module, RUN)
    for name, answer in zip(models, found, strict=True):
        recommender = Recommender.open(tmp_path / name)
        for question, one in zip(asked, answer["answers"], strict=True):
            assert same(ask_runtime(recommender, question), one), (name, question)
    with pytest.raises(ArtifactError) as caught:
        Recommender.open((tmp_path / "bad").read_bytes())
    assert (refused["refused"]["name"], refused["refused"]["message"]) == ("ModelError", str(caught.value))


def test_types_are_found_beside_the_modules(tmp_path: Path) -> None:
    program = tmp_path / "typed.ts"
    program.write_text(TYPED.replace("MODULE", SOURCES.as_uri()))
    sound = subprocess.run(
        [str(DENO), "check", str(program)], capture_output=True, encoding="utf-8", check=False
    )
    assert sound.returncode == 0, sound.stderr
    program.write_text(program.read_text().replace("personal", "persnal"))
    assert subprocess.run([str(DENO), "check", str(program)], capture_output=True, check=False).returncode


def test_a_worker_opens_files_too(tmp_path: Path) -> None:
    artifact = make_fism_model(5).encode()
    write_artifact(tmp_path / "model", artifact.arrays, artifact.metadata)
    (tmp_path / "worker.mjs").write_text(WORKER.replace("MODULE", SOURCES.as_uri()))
    (tmp_path / "page.mjs").write_text(ASKS_WORKER)
    done = subprocess.run(
        [*RUN, str(tmp_path / "page.mjs")], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (
        json.loads(done.stdout) == Recommender.open(tmp_path / "model").recommend_for_items([1, 2, 3]).items
    )
