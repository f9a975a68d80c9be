"""How many bytes does a model take in each dtype, and what quality does that cost?

    python -m benchmarks.studies.export_bytes RUN [--test TEST] [--json]

About 1 minute for Gowalla. Bytes of the tables and of the whole file beside a full float32 table;
and NDCG@20 on TEST, where it is given.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import sparserec_np
from benchmarks.arguments import parser_of
from sparserec_np.serving.model_file import ServedModel, served_from
from sparserec_np.serving.packing import VALUES, count_tables, pack, write_export


def weigh(model: ServedModel, test_file: str | None) -> dict[str, dict[str, Any]]:
    """Counts bytes of the file and its tables for each dtype; NDCG@20 where there is a test file."""
    seen = sparserec_np.Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    test = sparserec_np.read_interactions(test_file).aligned_to(seen)[0] if test_file else None

    def ndcg(one: ServedModel) -> dict[str, float]:
        if test is None:
            return {}
        ranker = sparserec_np.TableRanker(one.users, one.items, one.dim)
        return {"ndcg@20": sparserec_np.evaluate(ranker, test, seen)["ndcg@20"]}

    dense = 4 * model.dim * (model.users.rows + model.items.rows)
    found: dict[str, dict[str, Any]] = {"full float32 table": {"table bytes": dense, "part": 1.0}}
    before = ndcg(model)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in VALUES:
            artifact = pack(model, dtype)
            tables = count_tables(artifact)
            after = ndcg(served_from(artifact))
            found[dtype] = {
                "table bytes": tables,
                "part": tables / dense,
                "file bytes": write_export(os.path.join(folder, dtype), artifact),
                **after,
                **({"lost": 1 - after["ndcg@20"] / before["ndcg@20"]} if after else {}),
            }
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    """Prints the table."""
    print(f"{'Bytes':24s}{'tables':>12s}{'of full':>9s}{'file':>12s}{'NDCG@20':>9s}{'lost':>8s}")
    for name, one in found.items():
        print(f"  {name:22s}{one['table bytes']:12,}{one['part']:9.2%}{one.get('file bytes', 0):12,}", end="")
        print(f"{one['ndcg@20']:9.4f}{one['lost']:8.2%}" if "lost" in one else "")


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--test", help="interactions to measure NDCG@20 on")
    given = parser.parse_args()
    found = weigh(sparserec_np.load_model(given.run), given.test)
    if given.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
