"""The entry of the command, of ``python -m cli``, and of ``python -m sparserec_np_cli``.

``cli`` is its name in a checkout, the other where it is installed.
"""

from __future__ import annotations

import sys

from sparserec_np.machine.limits import COMPILED, NUMPY, make_room

# Commands that load no compiler, and so live in little memory.
LIGHT = ("data", "recommend", "similar", "export", "serve", "inspect")

try:
    # Before NumPy is loaded, which may wait for ever where memory is refused.
    needs_little = len(sys.argv) < 2 or sys.argv[1] in LIGHT or sys.argv[1].startswith("-")
    if refused := make_room(NUMPY if needs_little else COMPILED):
        sys.stderr.write(f"Error: {refused}.\n")
        sys.exit(1)
    from .main import main
except KeyboardInterrupt:  # a word, where Python would print what it was importing
    sys.stderr.write("\nInterrupted.\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
