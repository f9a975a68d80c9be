"""Where and with what figures came about: the machine, and the versions of everything."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from sparserec_np import __version__

PACKAGES = (
    *("numpy", "numba", "llvmlite", "scipy", "scikit-learn", "joblib", "click"),
    *("matplotlib", "optuna", "dask", "distributed"),
)


def versions() -> dict[str, str]:
    """Returns the versions of this package, of Python and of what is installed beside it."""
    found = {"sparserec_np": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Returns the processor, its cores and the system."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    """Returns the processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
