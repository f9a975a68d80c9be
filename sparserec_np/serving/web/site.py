"""The model as a page for browsers: a folder of files, or a single one that works from where it lies.

The page is ``page.html``, ``page.css`` and ``page.js`` beside this module, filled in and otherwise
as they are written. Its policy (Content-Security-Policy) forbids whatever it does not need: of
other hosts it loads the pictures that it is told of, and nothing else. What users did in training
is not in it: people are folded in from what they pick.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from sparserec_np.machine.files import gathering, replacing
from sparserec_np.runtime import ArtifactError, Path, Recommender
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import pack, write_export
from sparserec_np.serving.slices import keep_users, without_seen
from sparserec_np.serving.web.titles import Titled, origin_of
from sparserec_np.serving.web.training import check_address, with_training

TITLE = "Recommendations"
SHORTENED = ("sparserec.js", "solving.js", "pairs.js")
MODULES = (*SHORTENED, "refusals.js")
CHECKS = "checks.js"  # the module in full, which is asked what is wrong with a file
WHOLE = 2**53  # integers below it are numbers in JavaScript
HEAD = """<link rel="stylesheet" href="page.css">
<link rel="manifest" href="manifest.webmanifest">
<link rel="icon" href="icon.svg" type="image/svg+xml">
<meta name="theme-color" content="#0b5cad">"""


@dataclass(frozen=True)
class Page:
    """What a page is like.

    Attributes:
        title: of the page.
        one_file: whether everything is in a single file.
        training: address of a federated server in whose training people may take part.
    """

    title: str = TITLE
    one_file: bool = False
    training: str | None = None


def write_site(
    model: ServedModel, output: Path, dtype: str, titles: Mapping[int, Titled], page: Page | None = None
) -> dict[str, int]:
    """Writes the page of a model, and returns the bytes of each file.

    Args:
        model: what it recommends by; of its users nothing is written.
        output: a folder, made if it is not there; of a page that is one file, its path.
        dtype: of the stored values, a key of ``packing.VALUES``.
        titles: item row -> what is shown of the item; others are shown by their ids.
        page: what the page is like.

    Raises ArtifactError for a model that cannot be exported, or is not served in browsers;
    ConfigError for an address of a server that is none; OSError.
    """
    page = page or Page()
    if page.training is not None:
        check_address(page.training)
    content = _model_file(model, dtype)
    items = _items(model, titles)
    make = _one_file if page.one_file else _folder
    listed = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    files = make(content, listed, page, _origins(titles.values()))
    if page.one_file:
        (name,) = files
        with replacing(output) as file:
            file.write(files[name])
        return {os.path.basename(os.fspath(output)): len(files[name])}
    with gathering(output) as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
    return {name: len(data) for name, data in files.items()}


def read_source(name: str) -> str:
    """Reads a file that stands beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _model_file(model: ServedModel, dtype: str) -> bytes:
    """Makes the model file without users and what they had."""
    if not model.items.rows:
        raise ArtifactError("the model has no items, so there is nothing to show")
    artifact = pack(without_seen(keep_users(model, np.zeros(0, dtype=np.intp))), dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        write_export(path, artifact)
        with open(path, "rb") as file:
            return file.read()


def _items(model: ServedModel, titles: Mapping[int, Titled]) -> list[Any]:
    """Lists what the page shows of each item, those first that most users touched.

    That is an id, title and picture; only as much as there is, and of an item without a title its
    id alone.
    """
    recommender = Recommender(model.encode())
    items: list[Any] = []
    for row in recommender.popular_items.tolist():
        item = recommender.item_ids[row]
        shown = item if isinstance(item, int) and abs(item) < WHOLE else str(item)
        items.append([shown, *filter(None, titles[row])] if row in titles else shown)
    return items


def _origins(titles: Iterable[Titled]) -> str:
    """Lists the hosts of pictures, as a policy names them."""
    found = {origin_of(one.picture) for one in titles if one.picture}
    return "".join(f" {origin}" for origin in sorted(origin for origin in found if origin))


def _folder(content: bytes, items: str, page: Page, origins: str) -> dict[str, bytes]:
    """Makes the files of a site by their names."""
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{origins}; connect-src 'self';"
        " manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
    )
    texts = {name: read_source(name) for name in ("page.css", "page.js", "icon.svg")}
    texts |= modules() | {"items.json": items}
    texts["manifest.webmanifest"] = json.dumps(
        {
            "name": page.title,
            "short_name": page.title,
            "start_url": "./",
            "scope": "./",
            "display": "standalone",
            "background_color": "#ffffff",
            "theme_color": "#0b5cad",
            "icons": [{"src": "icon.svg", "type": "image/svg+xml", "sizes": "any", "purpose": "any"}],
        },
        indent=1,
    )
    body = '<script type="module" src="page.js"></script>'
    texts["index.html"] = _filled(page.title, policy, HEAD, body)
    files = {name: text.encode("utf-8") for name, text in texts.items()} | {"model.safetensors": content}
    digest = hashlib.sha256(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()[:16]
    kept = json.dumps(["./", *sorted(files.keys() - {"manifest.webmanifest"})])
    worker = read_source("worker.js").replace("$version", digest).replace("$files", kept)
    if page.training is None:
        return files | {"worker.js": worker.encode("utf-8")}
    changed = with_training(texts["index.html"], worker, page.training)
    return files | {name: text.encode("utf-8") for name, text in changed.items()}


def modules() -> dict[str, str]:
    """Makes the modules of a site: the short forms, and what says why a file is refused."""
    texts = {name: read_source(name.replace(".js", ".min.js")) for name in SHORTENED}
    refusals = read_source("refusals.js").replace("./sparserec.js", f"./{CHECKS}")
    return texts | {"refusals.js": refusals, CHECKS: read_source("sparserec.js")}


def _one_file(content: bytes, items: str, page: Page, origins: str) -> dict[str, bytes]:
    """Makes a single page that asks for nothing."""
    style, program = read_source("page.css"), bundled([*MODULES, "page.js"])
    policy = (
        f"default-src 'none'; script-src {_hash_of(program)}; style-src {_hash_of(style)}; img-src data:{origins};"
        " base-uri 'none'; form-action 'none'"
    )
    safe = items.replace("<", "\\u003c")  # a title may say </script>
    body = "\n".join(
        [
            f'<script type="application/json" id="items">{safe}</script>',
            f'<script type="text/plain" id="model">{base64.b64encode(content).decode()}</script>',
            f'<script type="module">{program}</script>',
        ]
    )
    return {"index.html": _filled(page.title, policy, f"<style>{style}</style>", body).encode("utf-8")}


def _filled(title: str, policy: str, head: str, body: str) -> str:
    filled = Template(read_source("page.html"))
    return filled.substitute(
        title=html.escape(title), policy=html.escape(policy, quote=True), head=head, body=body
    )


def _hash_of(text: str) -> str:
    """Names an inline script or style in a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def bundled(names: Iterable[str]) -> str:
    """Makes one script of modules that import each other by ``./NAME``: each becomes a function's inside.

    A module is evaluated before those after it, and may load any of them by ``import()`` later.
    """
    parts = ["const modules = {};"]
    for name in names:
        source, exported = _without_exports(read_source(name))
        source = re.sub(r'import (\{[^}]*\}) from "([^"]+)";', r'const \1 = modules["\2"];', source)
        source = re.sub(r'import\("([^"]+)"\)', r'modules["\1"]', source)
        parts.append(
            f'modules["./{name}"] = (() => {{\n{source}\nreturn {{ {", ".join(exported)} }};\n}})();'
        )
    return "\n" + "\n".join(parts) + "\n"


def _without_exports(source: str) -> tuple[str, list[str]]:
    """Takes the exports out of a module, and lists their names."""
    exported = re.findall(r"^export (?:class|(?:async )?function|const) (\w+)", source, flags=re.M)
    source = re.sub(r"^export (?=class|async|function|const)", "", source, flags=re.M)
    for group in re.findall(r"^export \{ (.*) \};$", source, flags=re.M):
        exported += group.split(", ")
    return re.sub(r"^export \{.*\};$", "", source, flags=re.M), exported
