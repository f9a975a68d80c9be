"""Where and with what a measurement was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "implicit", "torch", "matplotlib")


def describe(threads: int) -> dict[str, Any]:
    """Date, commit, processor, threads and versions; a package that is not installed is "missing"."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in PACKAGES},
    }


def commit() -> str:
    """Names the commit of the code, and whether code differs from it; "unknown" outside a checkout."""
    code = ("--", "sparserec_np", "benchmarks", ":!benchmarks/results", ":!benchmarks/RESULTS.md")
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", *code)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} with changes" if changed else name


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def processor() -> str:
    """The processor's name, and its caches where the system lists them."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
        caches = []
        for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
            level, kind, size = ((folder / file).read_text().strip() for file in ("level", "type", "size"))
            if kind != "Instruction":
                caches.append(f"L{level} {size}")
    except OSError:
        return name
    return f"{name} ({', '.join(caches)})" if caches else name


def package_version(name: str) -> str:
    """The installed version, or "missing"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
