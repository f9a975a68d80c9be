"""The files around the module: their size, that the short form is up to date, the types, the npm package, fetching."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sparserec_np import __version__
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import Recommender
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import keep_users, without_seen
from tests.makers.served_models import make_fism_model, make_model
from tests.serving.web.node import NODE, SOURCES, ask, ask_runtime, needs_node, same

NPM = shutil.which("npm")


def test_the_module_is_small() -> None:
    short = (SOURCES / "sparserec.min.js").read_bytes()
    assert len(short) <= 16_000
    assert len(gzip.compress(short, 9)) <= 5_120  # zlib makes 5,097, others some bytes more or less


def test_the_document_tells_the_sizes() -> None:
    page = (SOURCES.parents[2] / "docs" / "web.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w.]+\.js)` \|.*\| ([\d,]+) \| ([\d,]+) \|$", page, flags=re.M)
    assert len(told) == 9
    for name, size, packed in told:
        content = (SOURCES / name).read_bytes()
        assert int(size.replace(",", "")) == len(content), name
        # Compressors differ by a few bytes from version to version.
        assert int(packed.replace(",", "")) == pytest.approx(len(gzip.compress(content, 9)), abs=40), name


def test_the_short_forms_are_made_of_the_modules() -> None:
    lines = (SOURCES / "short.sha256").read_text(encoding="utf-8").splitlines()
    for digest, name in (line.split() for line in lines):
        made = hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()
        assert digest == made, f"{name} has changed: run `make` in its folder, which needs npx"
    assert [line.split()[1] for line in lines] == ["sparserec.js", "solving.js", "pairs.js"]


@needs_node
def test_the_short_form_gives_the_same_lists(tmp_path: Path) -> None:
    artifact = pack(make_fism_model(5, recency=0.5), "int8")
    write_artifact(tmp_path / "model", artifact.arrays, artifact.metadata)
    recommender = Recommender.open(tmp_path / "model")
    asked = [("recommend", user) for user in range(30)] + [
        ("recommendForItems", [4, 8, user]) for user in range(30)
    ]
    (answer,) = ask([(tmp_path / "model", asked)], "sparserec.min.js")
    for question, found in zip(asked, answer["answers"], strict=True):
        assert same(ask_runtime(recommender, question), found)


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in SOURCES.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:from|import\() ?[\"']([^\"']+)[\"']", text)) <= {
            "./sparserec.js",
            "./solving.js",
            "./pairs.js",
            "./refusals.js",
            "./federated.js",
        }
        assert "://" not in text


def test_every_name_that_is_typed_is_there() -> None:
    typed = (SOURCES / "sparserec.d.ts").read_text(encoding="utf-8")
    source = (SOURCES / "sparserec.js").read_text(encoding="utf-8")
    names = re.findall(r"^export class (\w+)", typed, flags=re.M)
    assert names == re.findall(r"^export class (\w+)", source, flags=re.M)
    for name in re.findall(r"^  (?:static )?(\w+)\(", typed, flags=re.M):
        assert re.search(rf"^ +(?:static async )?{name}\(", source, flags=re.M), name


def arguments_of(source: str, name: str) -> Iterator[list[str]]:
    """The arguments of every call of a function in a program, as they are written."""
    for call in re.finditer(rf"\b{name}\(", source):
        found, depth, quote = [""], 1, ""
        for letter in source[call.end() :]:
            depth += 0 if quote else (letter in "([{") - (letter in ")]}")
            quote = ("" if letter == quote else quote) if quote else letter * (letter in "\"`'")
            if depth == 0:
                break
            if letter == "," and depth == 1 and not quote:
                found.append("")
            else:
                found[-1] += letter
        yield [one.strip() for one in found]


def test_every_rule_has_its_sentence() -> None:
    source = (SOURCES / "sparserec.js").read_text(encoding="utf-8")
    source = re.sub(
        r"(?m)//.*$|/[^/\n ]+/[a-z]*(?=[.;,])", "", source
    )  # comments, and patterns with their brackets
    rules = {given[1].strip('"') for given in arguments_of(source, "must") if given[1] != "...what"}
    told = re.findall(
        r"^  \"([^\"]+)\": \(", (SOURCES / "refusals.js").read_text(encoding="utf-8"), flags=re.M
    )
    assert rules == set(told)


# -- the npm package


def test_the_npm_package_is_of_this_version() -> None:
    package = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__
    assert "dependencies" not in package
    assert all((SOURCES / name).is_file() for name in package["files"])


@needs_node
@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="npm was not found")
def test_the_npm_package_is_installed_and_runs(tmp_path: Path) -> None:
    packed = subprocess.run(
        [str(NPM), "pack", "--pack-destination", str(tmp_path)],
        cwd=SOURCES,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "package.json").write_text('{"private": true, "type": "module"}')
    archive = packed.stdout.split()[-1]
    install = [str(NPM), "install", "--offline", "--no-audit", "--no-fund", f"../{archive}"]
    subprocess.run(install, cwd=tmp_path / "project", capture_output=True, check=True)
    artifact = make_model().encode()
    write_artifact(tmp_path / "project" / "model", artifact.arrays, artifact.metadata)
    (tmp_path / "project" / "run.js").write_text(
        "import { readFile } from 'node:fs/promises';\nimport { Recommender } from 'sparserec';\n"
        "const recommender = await Recommender.open(await readFile('model'));\n"
        "console.log(JSON.stringify(recommender.recommendForItems([1, 2, 3]).items));\n"
    )
    done = subprocess.run(
        [str(NODE), "run.js"], cwd=tmp_path / "project", capture_output=True, encoding="utf-8", check=True
    )
    expected = Recommender.open(tmp_path / "project" / "model").recommend_for_items([1, 2, 3])
    assert json.loads(done.stdout) == expected.items


# -- fetching


class Ranged(http.server.SimpleHTTPRequestHandler):
    """Answers requests for a part of a file, unless the server says ``whole``, and counts the bytes it sends."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = content[int(asked[1]) : int(asked[2]) + 1] if asked and not self.server.whole else content  # type: ignore[attr-defined]
        self.send_response(200 if part is content else 206)
        if part is not content and asked:
            self.send_header(
                "Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(content)}"
            )
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        self.server.sent += len(part)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server of the folder ``tmp_path``."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *given: Ranged(*given, directory=str(tmp_path))
    )
    server.whole, server.sent = False, 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


FETCHED = """
import { Recommender } from "./sparserec.js";
import { fetchItems } from "./ranges.js";
const told = [];
for (const source of ADDRESSES) {
  const recommender = await Recommender.open(PART ? await fetchItems(source) : source);
  told.push([1, 2, 3].map((item) => recommender.recommendForItems([item, 7, 9], { n: 20 })));
}
console.log(JSON.stringify(told));
"""


@needs_node
@pytest.mark.parametrize("whole", [False, True])
def test_a_part_of_a_large_file_is_what_an_export_without_users_holds(
    tmp_path: Path, served: http.server.ThreadingHTTPServer, whole: bool
) -> None:
    models = {
        "mf": make_model(n_users=9_000, dim=300, density=0.01),
        "fism": make_fism_model(5, n_users=9_000),
    }
    served.whole = whole  # type: ignore[attr-defined]
    for name, model in models.items():
        artifact = pack(model, "float32")
        write_artifact(tmp_path / name, artifact.arrays, artifact.metadata)
        part = pack(without_seen(keep_users(model, np.zeros(0, np.intp))), "float32")
        write_artifact(tmp_path / f"{name}-part", part.arrays, part.metadata)
    addresses = [f"http://127.0.0.1:{served.server_port}/{name}" for name in models]
    code = FETCHED.replace("ADDRESSES", json.dumps(addresses)).replace("PART", "true")
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", code],
        cwd=SOURCES,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    for name, lists in zip(models, json.loads(done.stdout), strict=True):
        recommender = Recommender.open(tmp_path / f"{name}-part")
        for item, found in zip((1, 2, 3), lists, strict=True):
            assert same(ask_runtime(recommender, ("recommendForItems", [item, 7, 9], {"n": 20})), found)
    all_bytes = sum((tmp_path / name).stat().st_size for name in models)
    assert served.sent >= all_bytes if whole else served.sent < all_bytes / 1.5  # type: ignore[attr-defined]


@needs_node
def test_a_file_is_opened_by_its_address(tmp_path: Path, served: http.server.ThreadingHTTPServer) -> None:
    artifact = make_fism_model(5).encode()
    write_artifact(tmp_path / "model", artifact.arrays, artifact.metadata)
    (tmp_path / "bad").write_bytes(b"user,item\n1,2\n")
    address = f"http://127.0.0.1:{served.server_port}"
    code = FETCHED.replace("ADDRESSES", json.dumps([f"{address}/model"])).replace("PART", "false")
    code += (
        f"await Recommender.open('{address}/bad').catch((error) => console.log(error.name, error.message));"
    )
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", code],
        cwd=SOURCES,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    lists, refused = done.stdout.splitlines()
    expected = Recommender.open(tmp_path / "model").recommend_for_items([1, 7, 9], 20)
    assert json.loads(lists)[0][0]["items"] == expected.items
    assert refused.startswith(f"ModelError {address}/bad is not a sound model file: the header length is")
    assert "is text, as a table of interactions is" in refused
