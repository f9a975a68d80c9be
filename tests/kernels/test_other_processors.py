"""Every kernel becomes machine code for processors that are not here, and lists are the same on those that are.

Numba is told that the processor has no extensions, as it has none of x86 elsewhere. What it gives
LLVM is caught before LLVM has seen it, given to another processor's passes and back end, and made
an object file, which is never run. That shows that no kernel asks for an instruction which only
x86 has, and that LLVM can say each of them in the other's instructions. It does not show what they
compute there. For 32-bit ARM it shows less: indices stay 64 bits wide, which Numba would make 32.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
X86 = platform.machine() in ("x86_64", "AMD64")
pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="Numba's compiler is switched off")

# Runs in an interpreter of its own, since Numba reads its environment once. Prints for each
# processor how many kernels became objects, and what went wrong.
OBJECTS = """
import json, re, sys
import llvmlite.binding as llvm
from numba.core.codegen import CPUCodeLibrary

modules = {}
optimize = CPUCodeLibrary._optimize_final_module

def optimize_and_keep(library):
    modules[library.name] = library._final_module.as_bitcode()
    optimize(library)
    # Others link this module. The host's back end is about to write its own instructions into it.
    shared = library._final_module.clone()
    for function in shared.functions:
        if not function.is_declaration and function.linkage == llvm.Linkage.external:
            function.linkage = "linkonce_odr"
    library._shared_module = shared

CPUCodeLibrary._optimize_final_module = optimize_and_keep
from sparserec_np.warmup import called_kernels, warm_up

warm_up(everything="--everything" in sys.argv)
kernels = {
    f"{kernel.__module__}.{kernel.__name__}{types}": modules[compiled.library.name]
    for kernel in called_kernels() for types, compiled in kernel.overloads.items()
}
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
found = {"kernels": len(kernels), "objects": {}, "bytes": {}, "faults": []}
for triple, cpu, features in json.loads(sys.argv[1]):
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic")
    for name, code in kernels.items():
        module = llvm.parse_bitcode(code)
        module.triple, module.data_layout = triple, str(machine.target_data)
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
        passes.getModulePassManager().run(module, passes)
        foreign = sorted(set(re.findall(r"llvm[.]x86[.][a-z0-9.]+", str(module))))
        content = machine.emit_object(module)
        if foreign or content[:4] != b"\\x7fELF":
            found["faults"].append([cpu, name, foreign])
        found["objects"][cpu] = found["objects"].get(cpu, 0) + 1
        found["bytes"][cpu] = found["bytes"].get(cpu, 0) + len(content)
print(json.dumps(found))
"""
TARGETS = [
    ("aarch64-linux-gnu", "cortex-a53", ""),
    ("aarch64-linux-gnu", "cortex-a72", ""),
    ("armv7-linux-gnueabihf", "cortex-a7", "+neon,+vfp4"),
]


def python(code: str, *arguments: str, **environment: str) -> Any:
    """What ``code`` prints as JSON. A signal, as LLVM's abort, is a fault."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**kept, "NUMBA_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_kernel_becomes_an_object_for_boards(tmp_path: Path) -> None:
    found = python(
        OBJECTS,
        json.dumps(TARGETS),
        "--everything",
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
        NUMBA_CACHE_DIR=str(tmp_path),
        NUMBA_NUM_THREADS="2",  # so that loops are shared out
    )
    sys.stderr.write(f"{found}\n")  # figures, with -s
    assert found["faults"] == []
    assert found["kernels"] > 60
    assert found["objects"] == {cpu: found["kernels"] for _, cpu, _ in TARGETS}


LANES = """
import json, numba, numpy as np

@numba.njit
def add(a, b):
    for i in range(len(a)):
        a[i] += b[i]

add(np.ones(64, np.float32), np.ones(64, np.float32))
code = next(iter(add.inspect_asm().values()))
print(json.dumps([name in code for name in ("%xmm", "%ymm", "%zmm")]))
"""


@pytest.mark.skipif(not X86, reason="names of x86 registers")
def test_a_named_processor_gets_its_own_instructions_and_no_others() -> None:
    """With an empty ``NUMBA_CPU_FEATURES``; left out, Numba adds what this processor has."""
    assert python(LANES, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="")[1:] == [True, False]
    assert python(LANES, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == [True, False, False]


LISTS = """
import json, sys
import numpy as np
from sparserec_np.data.synthetic import generate
from sparserec_np.kernels import unfolding
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

log = generate(300, 200, 6000, 5)
short = {"epochs": 2, "dim": 32, "start": "spectral", "learning_rate": 0.01, "validation": 0}
found = []
for way in ({"order": "batches"}, {"order": "cells"}, {"order": "cells", "loss": "bpr", "negatives": 1}):
    ranker = train(log, Config(**short, **way), threads=1).model.ranker()
    found.append([part.tolist() for part in ranker.rank(np.arange(300, dtype=np.int32), 20, log)])
print(json.dumps([bool(unfolding.UNFOLDS), found]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="processors are named that this one is to stand for")
def test_lists_are_the_same_on_other_processors(tmp_path: Path) -> None:
    """Scores differ in the last bits: a processor with wider registers adds in another order."""
    one, *others = (
        python(LISTS, NUMBA_CACHE_DIR=str(tmp_path / str(k)), OPENBLAS_NUM_THREADS="1", **environment)
        for k, environment in enumerate(
            (
                {},
                {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""},
                {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
            )
        )
    )
    for unfolds, found in others:
        assert not unfolds
        for (items, scores), (others_items, others_scores) in zip(one[1], found, strict=True):
            assert items == others_items
            np.testing.assert_allclose(scores, others_scores, rtol=1e-4, atol=1e-5)
