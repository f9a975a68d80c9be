"""How long does a process take until its first list, and what memory does it hold then?

    python -m benchmarks.studies.start_up RUN [--json]

Less than 1 minute. Wall of importing a copy of ``runtime.py``, opening the file and making the
first list, in a process of its own, and its resident memory above that of a bare Python, beside
what importing NumPy alone takes and the bytes of the file; for the model as trained and for its
int8 export. Least of five. Linux only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.output import tell
from sparserec_np import runtime
from sparserec_np.serving.packing import pack, write_export

REPEATS = 5
START = """
import time
begin = time.perf_counter()
import sys
from served import Recommender
imported = time.perf_counter()
recommender = Recommender.open(sys.argv[1])
opened = time.perf_counter()
recommender.recommend(recommender.user_ids[0], n=10)
done = time.perf_counter()
walls = [1000 * (imported - begin), 1000 * (opened - imported), 1000 * (done - opened)]
"""
REPORT = """
import json
with open("/proc/self/status") as stream:
    lines = dict(line.split(":") for line in stream)
print(json.dumps([walls, *(1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))]))
"""


def start_up(path: str) -> dict[str, float]:
    """Measures ms and bytes of processes that import the runtime alone and make one list."""
    _, bare, bare_peak = begin("walls = [0]")
    _, numpy, _ = begin("import numpy; walls = [0]")
    walls, resident, peak = begin(START, path)
    return {
        "import ms": walls[0],
        "open ms": walls[1],
        "first list ms": walls[2],
        "together ms": sum(walls),
        "resident above bare Python": resident - bare,
        "of which NumPy": numpy - bare,
        "NumPy and the whole file": numpy - bare + os.path.getsize(runtime.locate(path)),
        "peak above bare Python": peak - bare_peak,
    }


def begin(code: str, *paths: str) -> tuple[list[float], int, int]:
    """Runs code that sets ``walls`` in processes of its own: the least of five of walls, resident and peak bytes.

    It is given the paths as arguments, and finds a copy of the runtime under the name ``served``.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(runtime.__file__, os.path.join(folder, "served.py"))
        command = [sys.executable, "-c", code + REPORT, *map(os.path.abspath, paths)]
        done = [subprocess.run(command, cwd=folder, check=True, capture_output=True) for _ in range(REPEATS)]
    walls, resident, peak = zip(*(json.loads(one.stdout) for one in done), strict=True)
    return min(walls, key=sum), min(resident), min(peak)


def written(result: dict[str, dict[str, float]]) -> str:
    """Writes a line for each figure, in ms or MB."""
    lines = []
    for title, rows in result.items():
        lines.append(f"Start-up, {title}")
        for name, value in rows.items():
            lines.append(
                f"  {name:34s}" + (f"{value:9.1f}" if name.endswith("ms") else f"{value / 1e6:9.1f} MB")
            )
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = os.path.join(folder, "int8")
        write_export(small, pack(sparserec_np.load_model(given.run), "int8"))
        result = {"float32 as trained": start_up(given.run), "int8 export": start_up(small)}
    tell(result, given.json, written)


if __name__ == "__main__":
    main()
