"""The process that makes one measurement: ``python -m benchmarks.side_by_side.worker '[part, row, setting]'``.

With null for the row it runs all contenders of ours in the part once, so that their kernels are
compiled; with "prepare", what the part's contenders find in the scratch folder. The record is the
last line of standard output.
"""

from __future__ import annotations

import json
import sys

from benchmarks.side_by_side.contender import Setting
from benchmarks.side_by_side.parts import PARTS
from benchmarks.side_by_side.processes import measure
from sparserec_np.kernels.sharing import sharing_at_once


def main() -> None:
    """Measures and prints."""
    name, row, values = json.loads(sys.argv[1])
    part, setting = PARTS[name], Setting(*values)
    if row == "prepare":
        record = part.prepare(setting)
    elif row is None:
        if part.prepare:
            part.prepare(setting)
        with sharing_at_once():
            for contender in part.contenders.values():
                if contender.ours:
                    contender.measure(setting)
        record = {}
    else:
        record = measure(part.contenders[row], setting)
    print("\n" + json.dumps(record))


if __name__ == "__main__":
    main()
