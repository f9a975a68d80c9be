"""Does the module of JavaScript give everybody the lists that runtime.py gives, and how fast is it?

    python -m benchmarks.studies.web_lists RUN [--users 3000] [--folds 500] [--n 20] [--chromium chromium] [--json]

About 1 minute. Writes the model in RUN in every type of values, and as it is, opens each file in
Node and in Python, and compares ids and scores to the last bit: the lists of users, and those of
people who are folded in from what some of them touched. Both are timed in this same run, call by
call. With --chromium, a browser without a window is timed, too. Exits with 1 if any list differs.
Needs Node, and with --chromium playwright.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.output import tell
from sparserec_np.runtime import Recommender
from sparserec_np.serving import web
from sparserec_np.serving.packing import VALUES, pack, write_export
from sparserec_np.serving.web.server import FolderServer
from sparserec_np.serving.web.site import modules

SOURCES = Path(web.__file__).parent
MEASURE = """
async function measure(open, asked) {
  const started = performance.now();
  const recommender = await open();
  const opened = performance.now() - started;
  const lists = asked.map(([method, given, options]) => {
    const before = performance.now();
    const { items, scores } = recommender[method](given, options);
    return { milliseconds: performance.now() - before, items: items.map(String), scores };
  });
  return { opened, lists };
}
"""
IN_NODE = """
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
const { module, file, asked } = JSON.parse(await text(process.stdin));
const { Recommender } = await import(module), content = await readFile(file);
process.stdout.write(JSON.stringify(await measure(() => Recommender.open(content), asked)));
"""
IN_PAGE = """<!doctype html><pre id="told"></pre><script type="module">
import { Recommender } from "./sparserec.js";
MEASURE
const asked = await (await fetch("asked.json")).json();
const content = await (await fetch("model")).arrayBuffer();
const told = await measure(() => Recommender.open(content), asked);
told.lists = told.lists.map(({ milliseconds }) => ({ milliseconds }));
document.getElementById("told").textContent = JSON.stringify(told);
</script>"""
Asked = list[list[Any]]


def main() -> int:
    """Measures, prints and returns the exit code."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--users", type=int, default=3000, help="whose lists are compared, at most")
    parser.add_argument("--folds", type=int, default=500, help="people who are folded in")
    parser.add_argument("--n", type=int, default=20, help="items of a list")
    parser.add_argument("--chromium", help="path of a browser to be timed, too")
    given = parser.parse_args()
    model = sparserec_np.load_model(given.run)
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("run", *VALUES):
            path = Path(folder) / dtype
            write_export(path, model.encode() if dtype == "run" else pack(model, dtype))
            asked = questions(Recommender.open(path), given.users, given.folds, given.n)
            found = {"values": dtype, "file_bytes": path.stat().st_size, **compare(path, asked)}
            if given.chromium:
                found |= in_browser(given.chromium, path, asked)
            reports.append(found)
    tell({"run": given.run, "reports": reports}, given.json, written)
    return 0 if all(one["lists_that_differ"] == 0 for one in reports) else 1


def written(report: dict[str, Any]) -> str:
    """Writes a block of lines for each type of values."""
    blocks = [
        "\n".join(f"{name.replace('_', ' '):42}{value}" for name, value in one.items())
        for one in report["reports"]
    ]
    return "\n\n".join(blocks)


def questions(recommender: Recommender, users: int, folds: int, n: int) -> Asked:
    """Asks for the lists of users, evenly chosen, and of made-up people of 1 to 40 of a user's items and others."""
    rng = np.random.default_rng(0)
    rows = np.unique(np.linspace(0, len(recommender.user_ids) - 1, users).astype(int))
    asked: Asked = [["recommend", recommender.user_ids[row], {"n": n}] for row in rows.tolist()]
    for row in rng.choice(len(recommender.user_ids), folds).tolist():
        touched = recommender.model.touched_by(row)[0]
        mixed = np.unique(np.concatenate([touched, rng.integers(0, len(recommender.item_ids), 3)]))
        liked = rng.permutation(mixed)[: rng.integers(1, 41)]
        asked.append(["recommendForItems", [recommender.item_ids[item] for item in liked.tolist()], {"n": n}])
    return asked


def compare(path: Path, asked: Asked) -> dict[str, Any]:
    """Counts the lists that differ, and times both."""
    told = json.dumps({"module": str(SOURCES / "sparserec.min.js"), "file": str(path), "asked": asked})
    command = [shutil.which("node") or "node", "--input-type=module", "-e", MEASURE + IN_NODE]
    by_node = json.loads(
        subprocess.run(command, input=told, capture_output=True, check=True, text=True).stdout
    )
    recommender = Recommender.open(path)
    calls: dict[str, Callable[..., Any]] = {
        "recommend": recommender.recommend,
        "recommendForItems": recommender.recommend_for_items,
    }
    differ = scores = 0
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for (method, given, options), found in zip(asked, by_node["lists"], strict=True):
        started = perf_counter()
        items, expected = calls[method](given, **options)
        seconds[method].append((1000 * (perf_counter() - started), found["milliseconds"]))
        scores += len(expected)
        differ += list(map(str, items)) != found["items"] or list(expected) != found["scores"]
    report = {"lists": len(asked), "scores": scores, "lists_that_differ": differ}
    for method, both in seconds.items():
        python, node = (np.percentile(one, (50, 99)).round(3).tolist() for one in zip(*both, strict=True))
        report |= {f"{method}_python_p50_p99_ms": python, f"{method}_node_p50_p99_ms": node}
        report |= {f"{method}_node_over_python_p50": round(node[0] / python[0], 3)}
    return report | {"node_opening_ms": round(by_node["opened"], 1)}


def in_browser(chromium: str, path: Path, asked: Asked) -> dict[str, Any]:
    """Times a browser without a window; its clock has steps of 0.1 ms, so that means are told, too."""
    from playwright.sync_api import sync_playwright  # which no other study needs

    with tempfile.TemporaryDirectory() as name, FolderServer(name) as server:
        folder = Path(name)
        for source, text in modules().items():
            (folder / source).write_text(text, encoding="utf-8")
        shutil.copy(path, folder / "model")
        (folder / "asked.json").write_text(json.dumps(asked))
        (folder / "index.html").write_text(IN_PAGE.replace("MEASURE", MEASURE))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page()
            page.goto(server.address)
            page.wait_for_selector("#told:not(:empty)", timeout=180_000)
            told = json.loads(page.inner_text("#told"))
            browser.close()
        server.shutdown()
    report: dict[str, Any] = {"chromium_opening_ms": round(told["opened"], 1)}
    for method in ("recommend", "recommendForItems"):
        times = [
            one["milliseconds"] for one, (of, *_) in zip(told["lists"], asked, strict=True) if of == method
        ]
        report[f"{method}_chromium_median_mean_ms"] = _median_and_mean(times)
    return report


def _median_and_mean(times: Sequence[float]) -> list[float]:
    return [round(statistics.median(times), 3), round(statistics.fmean(times), 3)]


if __name__ == "__main__":
    sys.exit(main())
