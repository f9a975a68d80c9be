"""Does anything grow, or change, while a process serves and learns for a long time?

    python -m benchmarks.studies.soak [--seconds 600] [--threads 4] [--page PAGE.md]

About 11 minutes. Threads ask one open model for lists, for folded-in lists, for similar items and for why; another
model is meanwhile put in its place by renaming, again and again, and opened and dropped; and a
last thread trains small models one after the other. All answers have to be those of before, and
the memory of the second half of the time must not grow by more than a megabyte beyond the first's.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import add_page, parser_of
from benchmarks.figures import table
from benchmarks.machine import describe
from benchmarks.pages import page_of
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.machine.memory import give_back_freed, resident_bytes
from sparserec_np.runtime import Recommender
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

ALLOWED = 1 << 20  # bytes
LOOKS = 40  # at memory
MODELS = (
    Config(model="mf", dim=16, density=0.2, epochs=2, start="spectral", learning_rate=0.01),
    Config(model="fism", dim=16, density=0.2, epochs=0, start="spectral"),
)


class Soak:
    """Threads that ask, replace and learn until they are told to stop.

    Attributes:
        counts: how often each thing was done.
        faults: what went wrong.
    """

    def __init__(self, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._stop = threading.Event()
        self._log = generate(400, 300, 8000, groups=5, seed=1)
        self._runs = [folder / f"run{number}" for number in range(len(MODELS))]
        for run, config in zip(self._runs, MODELS, strict=True):
            save_run(run, train(self._log, config, threads=1), self._log)
        self._place = folder / "served.safetensors"
        self._models = [(run / "model.safetensors").read_bytes() for run in self._runs]
        self._open = [Recommender.open(run) for run in self._runs]
        self._answers = [[ask(one, user) for user in range(100)] for one in self._open]
        self._trained = fingerprint(self._log)

    def serve(self, seed: int) -> None:
        """Asks an open model, again and again, for what it said before."""
        rng = np.random.default_rng(seed)
        while not self._stop.is_set():
            which, user = int(rng.integers(len(self._open))), int(rng.integers(100))
            self._expect("requests", ask(self._open[which], user) == self._answers[which][user])

    def replace(self) -> None:
        """Puts a model in the place of another, opens it there, asks, and drops it."""
        beside = self._place.with_suffix(".new")
        while not self._stop.is_set():
            for which, content in enumerate(self._models):
                beside.write_bytes(content)
                os.replace(beside, self._place)
                opened = Recommender.open(self._place)
                self._expect("models opened", ask(opened, 7) == self._answers[which][7])

    def learn(self) -> None:
        """Trains, again and again, and compares the bits."""
        while not self._stop.is_set():
            self._expect("trainings", fingerprint(self._log) == self._trained)

    def run(self, seconds: float, threads: int) -> list[int]:
        """Runs all of it for so many seconds; returns the memory at even times, bytes."""
        work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self.serve, (seed,)) for seed in range(threads)
        ]
        running = [
            threading.Thread(target=self._guarded, args=one)
            for one in (*work, (self.replace, ()), (self.learn, ()))
        ]
        for thread in running:
            thread.start()
        held = []
        for _ in range(LOOKS):
            self._stop.wait(seconds / LOOKS)
            gc.collect()
            give_back_freed()
            held.append(resident_bytes())
        self._stop.set()
        for thread in running:
            thread.join()
        return held

    def _guarded(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments)
        except Exception as error:  # whatever it is, it is what is looked for
            self.faults.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def _expect(self, what: str, good: bool) -> None:
        self.counts[what] += 1
        if not good:
            self.faults.append(f"{what}: another answer than before")


def ask(model: Recommender, user: int) -> tuple[Any, ...]:
    """Asks a model all it can be asked, and returns the answers in a form that can be compared."""
    lists = (
        model.recommend(model.user_ids[user], 10),
        model.recommend_for_items([model.item_ids[user], model.item_ids[user + 50]], 10),
        model.similar_items(model.item_ids[user], 5),
    )
    why = model.explain(model.user_ids[user], lists[0].items[0])
    return (*[(list(one.items), list(one.scores)) for one in lists], why.items, why.scores)


def fingerprint(log: Interactions) -> bytes:
    """Trains a small model; returns its bits."""
    return train(log, MODELS[0], threads=1).model.table.values.tobytes()


def grown(held: list[int]) -> int:
    """Returns by how much the last quarter's median lies above the second quarter's, bytes."""
    quarter = len(held) // 4
    return int(np.median(held[-quarter:]) - np.median(held[quarter : 2 * quarter]))


def main() -> None:
    """Soaks, prints or writes the table, and fails where something grew or changed."""
    parser = parser_of(__file__, __doc__ or "")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=4, help="threads that ask (default 4)")
    add_page(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        soak = Soak(Path(folder))
        held = soak.run(given.seconds, given.threads)
        seconds = time.perf_counter() - clock
    more = grown(held)
    rows = [[what, f"{count:,}"] for what, count in soak.counts.items()]
    rows += [["faults", str(len(soak.faults))], ["seconds", f"{seconds:.0f}"]]
    rows += [["resident at the end, MB", f"{held[-1] / 1e6:.1f}"], ["grown, kB", f"{more / 1e3:.0f}"]]
    shown = table(["what", "how many"], rows)
    if given.page:
        words = (
            "What a process did for a long time, what came out differently, and by how much its memory grew."
        )
        given.page.write_text(page_of("A long time", "soak", [describe(given.threads)], words, [shown]))
    else:
        sys.stdout.write(shown + "\n")
    for fault in soak.faults[:20]:
        sys.stderr.write(f"{fault}\n")
    sys.exit(1 if soak.faults or more > ALLOWED else 0)


if __name__ == "__main__":
    main()
