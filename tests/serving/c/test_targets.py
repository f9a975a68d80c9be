"""The model as C for other processors: cross compiled, run in an emulator, with the same lists; and under sanitizers.

Debian's packages for the former: ``qemu-user`` and ``gcc-aarch64-linux-gnu``,
``gcc-arm-linux-gnueabihf`` and so on. What is not installed is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sparserec_np.serving.c.export import HEADER, MAIN, write_c
from tests.makers.served_models import make_fism_model, make_model
from tests.serving.c.test_export import IDS, STRICT

KINDS = ("wide", "text", "touched", "pairs")
# Compiler and emulator of each. s390x, PowerPC and MIPS put the highest byte first.
TARGETS = {
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "armhf": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
    "i686": ("i686-linux-gnu-gcc", "qemu-i386"),
    "s390x": ("s390x-linux-gnu-gcc", "qemu-s390x"),
    "powerpc": ("powerpc-linux-gnu-gcc", "qemu-ppc"),
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
    "mips": ("mips-linux-gnu-gcc", "qemu-mips"),
}
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
NATIVE = shutil.which("cc")
needs_cc = pytest.mark.skipif(NATIVE is None, reason="no C compiler was found: there is no cc on the path")


def written(kind: str, folder: Path) -> None:
    """Writes a model's source; of those who touched nothing, the program says so on stderr."""
    if kind in ("touched", "pairs"):
        settings = {"marks": True, "density": 0.02} if kind == "pairs" else {}
        model = make_fism_model(n_users=40, n_items=700, dim=24, recency=0.7, seed=5, **settings)
        write_c(model, folder, dtype="int8")
    else:
        write_c(make_model(40, 700, 24, 0.3, 5, user_ids=IDS[kind](40), item_ids=IDS[kind](700)), folder)


def lists(compiler: str, folder: Path, *flags: str, by: tuple[str, ...] = ()) -> list[str]:
    """Prints everybody's lists, short ones and whole ones, by a program of ``compiler`` in an emulator or none."""
    program = compiled(compiler, folder, MAIN, "-DMOST_ITEMS=1000", *flags)
    printed = []
    for n in ("20", "1000"):
        done = subprocess.run([*by, program, "-", n], capture_output=True, encoding="utf-8")
        assert done.returncode == 0 and "rror" not in done.stderr, done.stderr
        assert done.stdout.count("\n") == 40
        printed.append(done.stdout)
    return printed


def compiled(compiler: str, folder: Path, source: str, *flags: str) -> Path:
    program = folder / "program"
    done = subprocess.run(
        [compiler, "-std=c99", "-O2", *STRICT, *flags, "-o", program, folder / source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return program


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", TARGETS)
def test_lists_are_the_same_on_every_processor(target: str, kind: str, tmp_path: Path) -> None:
    """Those of the program built here, which are the runtime's: to the last digit of the scores."""
    compiler, emulator = (shutil.which(name) for name in TARGETS[target])
    if compiler is None or emulator is None:
        pytest.skip(f"{' or '.join(TARGETS[target])} is not installed")
    written(kind, tmp_path)
    assert lists(compiler, tmp_path, "-static", by=(emulator,)) == lists(str(NATIVE), tmp_path)


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_sanitizers_find_nothing(kind: str, tmp_path: Path) -> None:
    written(kind, tmp_path)
    assert lists(str(NATIVE), tmp_path, *SANITIZED) == lists(str(NATIVE), tmp_path)


@needs_cc
@pytest.mark.parametrize("ids", ["wide", "text"])
def test_numbers_that_are_not_there_read_nothing_out_of_bounds(ids: str, tmp_path: Path) -> None:
    """A sanitizer ends the program at the first read beyond an array."""
    written(ids, tmp_path)
    calls = {
        "wide": "return sparserec_item_id({0}) != 0 || sparserec_user_id({0}) != 0",
        "text": "size_t length; (void)sparserec_item_id({0}, &length); return length != 0",
    }[ids]
    body = "".join(
        f"static int try{k}(void) {{ {calls.format(number)}; }}\n"
        for k, number in enumerate(("SPARSEREC_ITEMS", "UINT32_MAX"))
    )
    (tmp_path / "beyond.c").write_text(
        f'#include "{HEADER}"\n{body}int main(void) {{\n'
        "    static sparserec_scratch scratch; uint32_t items[3]; float scores[3];\n"
        "    return try0() || try1()"
        " || sparserec_recommend(SPARSEREC_USERS, 3, items, scores, &scratch) != 0"
        " || sparserec_recommend(0, 3, items, scores, &scratch) != 3;\n}\n"
    )
    program = compiled(str(NATIVE), tmp_path, "beyond.c", "-Wno-unused-function", *SANITIZED)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
