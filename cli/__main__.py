"""The entry of the command, of ``python -m cli``, and of ``python -m sparserec_np_cli``.

``cli`` is its name in a checkout, the other where it is installed.
"""

from __future__ import annotations

import sys

try:
    from .main import main
except KeyboardInterrupt:  # a word, where Python would print what it was importing
    sys.stderr.write("\nInterrupted.\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
