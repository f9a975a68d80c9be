"""Where files that live for a moment are written."""

from __future__ import annotations

import os

# Opening a file takes longer than all that follows, but where files are kept in memory.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
