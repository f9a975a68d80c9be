"""The web module asked in Node: files are opened by ``ask.mjs``, and answers compared with the runtime's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import sparserec_np.serving.web as package
from sparserec_np.runtime import ArtifactError, Recommender, SeenItemsMissingError, UnknownIdError

SOURCES = Path(package.__file__).parent
FORMS = ("sparserec.js", "sparserec.min.js")
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node was not found: there is no node on the path")
# Method of the module -> the runtime's.
TWINS = {
    "recommend": "recommend",
    "recommendForItems": "recommend_for_items",
    "similarItems": "similar_items",
    "score": "score",
    "explain": "explain",
}
OPTIONS = {"filterSeen": "filter_seen", "onUnknown": "on_unknown"}
ERRORS = {
    "UnknownUserError": "UnknownIdError",
    "UnknownItemError": "UnknownIdError",
    "ValueError": "RangeError",
}
ERRORS["ArtifactError"] = "ModelError"
Asked = Sequence[Any]  # a method of the module, and what it is given; options come last, as an object


def ask(
    jobs: Iterable[tuple[Path, Sequence[Asked]]],
    module: str = "sparserec.js",
    engine: Sequence[str] = (str(NODE),),
) -> list[dict[str, Any]]:
    """Asks the module, in Node or what ``engine`` runs, about files: for each what was refused, or the answers."""
    told = [{"file": str(file), "asked": asked} for file, asked in jobs]
    done = subprocess.run(
        [*engine, str(Path(__file__).parent / "ask.mjs")],
        input=json.dumps({"module": (SOURCES / module).as_uri(), "jobs": told}),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def ask_runtime(recommender: Recommender, asked: Asked) -> dict[str, Any] | list[float]:
    """Asks the runtime the same, and answers in the module's form."""
    method, *given = asked
    options = given.pop() if given and isinstance(given[-1], dict) else {}
    options = {OPTIONS.get(name, name): value for name, value in options.items()}
    try:
        found = getattr(recommender, TWINS[method])(*given, **options)
    except (ArtifactError, UnknownIdError, SeenItemsMissingError, ValueError) as error:
        return {"name": ERRORS.get(type(error).__name__, type(error).__name__)}
    if isinstance(found, list):
        return found
    answer = {"items": list(found.items), "scores": list(found.scores)}
    if method == "explain":
        return answer | {"score": found.score, "exact": found.exact}
    return answer | {"personal": found.personal}


def same(expected: Any, found: Any, near: float = 0.0) -> bool:
    """Whether an answer is the runtime's: to the last bit, or with ``near`` to within so much of the largest score."""
    if not isinstance(expected, dict):
        return _close(expected, found, near)
    if "name" in expected:
        return bool(found.get("name") == expected["name"])
    numbers = _close(expected["scores"], found["scores"], near)
    if "score" in expected:
        numbers = numbers and _close([expected["score"]], [found["score"]], near)
    rest = [name for name in expected if name not in ("scores", "score")]
    return numbers and all(expected[name] == found[name] for name in rest)


def _close(expected: Sequence[float], found: Sequence[float], near: float) -> bool:
    if not near:
        return list(expected) == list(found)
    largest = max(map(abs, expected), default=0.0)
    return len(expected) == len(found) and all(
        abs(one - other) <= near * largest for one, other in zip(expected, found, strict=True)
    )
