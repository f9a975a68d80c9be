"""Let coverage lead the search for files that the reader fails on, with Atheris (``pip install '.[fuzz]'``).

    python -m tests.fuzz.atheris_target CORPUS_FOLDER -max_total_time=600

The folder is made if missing, starts with sound files and grows by each that reaches new code; the
options are libFuzzer's. Half of the new files are changed as libFuzzer would, half by
``mutations``, which knows the format. A file that the reader fails on ends the run and is left
beside it, as ``crash-...``.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.scratch import SCRATCH


def main() -> None:
    """Sets Atheris up and never returns."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris_target needs Atheris; expected it to be installed by: pip install '.[fuzz]'")
    with atheris.instrument_imports(include=["sparserec_np.runtime"]):
        import sparserec_np.runtime  # noqa: F401  # before others import it
    from tests.fuzz.check import check
    from tests.fuzz.mutations import mutate, sound_files

    folders = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not folders:
        sys.exit("expected a folder for the corpus: python -m tests.fuzz.atheris_target CORPUS_FOLDER")
    corpus = Path(folders[0])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(sound_files()):
        (corpus / f"sound-{number}").write_bytes(data)

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        if random.Random(seed).random() < 0.5:
            return atheris.Mutate(data, max_size)
        try:
            return mutate(data, np.random.default_rng(seed))[:max_size]
        except (ArithmeticError, RecursionError, ValueError):  # too strange already to be taken apart
            return atheris.Mutate(data, max_size)

    path = Path(SCRATCH or tempfile.gettempdir()) / f"sparserec-fuzz-{os.getpid()}.safetensors"

    def one_file(data: bytes) -> None:
        path.write_bytes(data)
        try:
            check(path)
        finally:
            path.unlink()  # now, because libFuzzer ends the process without a word

    atheris.Setup(sys.argv, one_file, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
