"""Answers requests with a model file and NumPy alone: a JSON object a line in, and one a line out.

A request names a user, ``{"user": 42, "n": 10}``, or the items of somebody the model does not know,
``{"items": [50, 181], "n": 10}``. An answer holds ``items`` and ``scores``, best first, or
``error``. Each is written before the next request is read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from runtime import Recommender


def answer(recommender: Recommender, line: str) -> dict[str, Any]:
    """Makes the answer to a request, whatever stands there."""
    try:
        request = json.loads(line)
        n = request.get("n", 10)
        if "user" in request:
            found = recommender.recommend(request["user"], n=n)
        else:
            found = recommender.recommend_for_items(request["items"], n=n)
    except Exception as error:  # a wrong request ends its own line, not the service
        return {"error": f"{type(error).__name__}: {error}"}
    return {"items": found.items, "scores": found.scores}


def answers(recommender: Recommender, lines: Iterable[str]) -> Iterator[str]:
    """Yields the answers to the lines that are not blank."""
    for line in lines:
        if line.strip():
            yield json.dumps(answer(recommender, line))


def main() -> None:
    """Opens the model file that is named, and answers what comes from standard input."""
    for line in answers(Recommender.open(sys.argv[1]), sys.stdin):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
