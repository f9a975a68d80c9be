"""The interactions that are measured on: found in a folder, or generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np


def find_file(folder: str | Path, stem: str) -> str:
    """Finds ``stem``.txt.gz or ``stem``.txt in the folder; leaves the program if there is neither."""
    for ending in (".txt.gz", ".txt"):
        path = Path(folder) / f"{stem}{ending}"
        if path.exists():
            return str(path.resolve())
    raise SystemExit(f"Error: {folder} must hold {stem}.txt or {stem}.txt.gz")


def generate_split(folder: str | Path, users: int, items: int, interactions: int) -> None:
    """Makes the folder, with train.txt and test.txt, a fifth of generated interactions."""
    Path(folder).mkdir()
    log = sparserec_np.generate(users, items, interactions, groups=20)
    parts = sparserec_np.split_random(log, 0.2, np.random.default_rng(0))
    for name, part in zip(("train", "test"), parts, strict=True):
        sparserec_np.write_interactions(part, Path(folder) / f"{name}.txt")


def as_matrix(log: sparserec_np.Interactions) -> Any:
    """Makes what implicit wants: a SciPy CSR matrix of ones, (users, items) float32."""
    from scipy.sparse import csr_matrix  # heavy: `--help` does not wait for it

    ones = np.ones(log.n_interactions, dtype=np.float32)
    return csr_matrix((ones, log.items, log.indptr), shape=(log.n_users, log.n_items))
