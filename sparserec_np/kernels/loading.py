"""The loading of every compiled kernel that is kept for this processor.

Sums say whether a file is as it was written. This says whether what was written can be loaded here.
Machine code that cannot may end the process, so this is one of its own: ``python -m
sparserec_np.kernels.loading`` prints one JSON object.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from numba.core.registry import cpu_target

from sparserec_np.kernels import COMPILED_FILES
from sparserec_np.kernels.cache_files import KernelCache
from sparserec_np.kernels.doors import ParallelKernel


def caches() -> Iterator[KernelCache]:
    """Yields what keeps the compiled forms of each kernel, each once."""
    found: dict[int, KernelCache] = {}
    for name in COMPILED_FILES:
        module = importlib.import_module(f"sparserec_np.kernels.compiled.{name}")
        for value in vars(module).values():
            for form in value.forms if isinstance(value, ParallelKernel) else [value]:
                cache = getattr(form, "_cache", None)
                if isinstance(cache, KernelCache):
                    found[id(cache)] = cache
    yield from found.values()


def loaded() -> dict[str, Any]:
    """Loads all forms that are kept for this processor; says how many, and the files of those that fail."""
    context = cpu_target.target_context
    there, failed = 0, []
    for cache in caches():
        for types, path in cache.kept(context):
            there += 1
            try:
                sound = cache.loads(types, context)
            except Exception:  # whatever a file makes Numba raise, it is as good as none
                sound = False
            if not sound:
                failed.append(path)
    return {"forms": there, "failed": failed}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(loaded()) + "\n")
