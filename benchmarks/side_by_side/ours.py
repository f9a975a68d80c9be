"""The settings of ours that are measured: one table for each question. All other settings are the defaults."""

from __future__ import annotations

from typing import Any

import sparserec_np

Settings = dict[str, Any]

# One pair after another, as implicit does it; BATCHED gathers the gradients of a batch first.
CELLS: Settings = {"order": "cells"}
SGD: Settings = CELLS | {"loss": "bpr", "negatives": 1, "optimizer": "sgd"}
ADAGRAD: Settings = SGD | {"optimizer": "adagrad"}
BATCHED: Settings = ADAGRAD | {"order": "batches", "batch_size": 2048}
BLOCK: Settings = {"negatives": 256}
SPARSE: Settings = {"dim": 64, "density": 0.1}
# As many entries as SPARSE on Gowalla, in rows of items alone; users are sums of them.
SUMS: Settings = {"model": "fism", "dim": 512, "density": 0.0216}
PAIRS: Settings = {"start": "neighbours", "relative_rate": True, "pairs_together": 8}
# A full table costs the same whatever it starts from, and chance is the fastest start.
DENSE: Settings = {"dim": 64, "method": "dense", "start": "uniform"}

EPOCHS: dict[str, Settings] = {
    "sparserec_np, BPR, 1 negative, SGD, density 0.1": SPARSE | SGD,
    "sparserec_np, BPR, 1 negative, SGD, density 0.1, mask never changed": SPARSE
    | SGD
    | {"method": "static"},
    # As implicit and PyTorch begin: without the singular vectors, which take more memory than the
    # training.
    "sparserec_np, BPR, 1 negative, SGD, density 0.1, random start": SPARSE | SGD | {"start": "uniform"},
    "sparserec_np, BPR, 1 negative, SGD, density 1.0": DENSE | SGD,
    "sparserec_np, BPR, 1 negative, Adagrad, density 0.1": SPARSE | ADAGRAD,
    "sparserec_np, BPR, 1 negative, Adagrad, density 1.0": DENSE | ADAGRAD,
    "sparserec_np, BPR, 1 negative, Adagrad, density 0.1, batches": SPARSE | BATCHED,
    "sparserec_np, BPR, 256 shared negatives, density 0.1": SPARSE | CELLS | BLOCK | {"loss": "bpr"},
    "sparserec_np, softmax, 256 shared negatives, density 0.1": SPARSE | CELLS | BLOCK,
    "sparserec_np, softmax, 256 shared negatives, density 0.1, batches": SPARSE | BLOCK,
    "sparserec_np, fism, softmax, 256 shared negatives, dim 512, as many entries, batches": SUMS | BLOCK,
    "sparserec_np, fism with neighbours, softmax, 256 shared negatives, dim 512, as many entries, batches": SUMS
    | BLOCK
    | PAIRS,
}

# Curves of quality over time, from the spectral start unless said otherwise. The learning rate is
# that of a training without a validation part: none is chosen.
SPECTRAL_DENSE: Settings = {"dim": 64, "method": "dense"}
SELDOM: Settings = {"evaluate_every": 2}  # full tables take long to rank
QUALITY: dict[str, Settings] = {
    "sparserec_np, softmax, dim 64, density 0.1": SPARSE | {"epochs": 20, "learning_rate": 0.01},
    "sparserec_np, softmax, cells, dim 64, density 0.1": SPARSE
    | CELLS
    | {"epochs": 20, "learning_rate": 0.3, "negatives": 512, "batch_size": 256},
    "sparserec_np, softmax, cells, dim 256, density 0.025": CELLS
    | {
        "dim": 256,
        "density": 0.025,
        "epochs": 20,
        "learning_rate": 0.3,
        "negatives": 512,
        "batch_size": 256,
    },
    "sparserec_np, softmax, dim 256, density 0.025": {
        "dim": 256,
        "density": 0.025,
        "epochs": 20,
        "learning_rate": 0.01,
    },
    "sparserec_np, softmax, dim 64, density 1.0": SPECTRAL_DENSE
    | SELDOM
    | {"epochs": 10, "learning_rate": 0.01},
    "sparserec_np, BPR, 1 negative, dim 64, density 0.1": SPARSE
    | ADAGRAD
    | {"epochs": 20, "learning_rate": 0.1},
    "sparserec_np, BPR, 1 negative, dim 64, density 1.0": SPECTRAL_DENSE
    | SELDOM
    | ADAGRAD
    | {"epochs": 20, "learning_rate": 0.1},
    "sparserec_np, spectral start alone, dim 64, density 0.1": SPARSE | {"epochs": 0},
    "sparserec_np, spectral start alone, dim 128, density 0.05": {"dim": 128, "density": 0.05, "epochs": 0},
    "sparserec_np, spectral start alone, dim 256, density 0.025": {"dim": 256, "density": 0.025, "epochs": 0},
    "sparserec_np, least-squares start alone, dim 64, density 0.1": SPARSE | {"start": "als", "epochs": 0},
    "sparserec_np, softmax, least-squares start, dim 64, density 0.1": SPARSE
    | {"start": "als", "epochs": 10, "learning_rate": 0.01},
}

# The models whose lists are timed, trained for a few epochs: how long exact lists take depends on
# the scores.
RANKED: dict[str, Settings] = {
    "sparse": SPARSE | {"epochs": 4, "learning_rate": 0.01},
    "dense": SPECTRAL_DENSE | ADAGRAD | {"epochs": 4, "learning_rate": 0.1},
}

# What is run on one thread and on all, and has to give the same bits.
SCALED: dict[str, Settings] = {
    "epoch, BPR, 1 negative, SGD, density 0.1": SPARSE | SGD,
    "epoch, BPR, 1 negative, SGD, density 1.0": DENSE | SGD,
    "epoch, softmax, 256 shared negatives, density 0.1": SPARSE | CELLS | BLOCK,
    "epoch, softmax, 256 shared negatives, density 0.1, batches": SPARSE | BLOCK,
}


def start_numba() -> None:
    """Calls a kernel that does next to nothing: what is in memory then, Numba needs for any function at all."""
    import numpy as np

    from sparserec_np.kernels.compiled.unfolding import row_bits

    row_bits(np.zeros(2, np.int64), np.zeros(0, np.uint8), SPARSE["dim"])


def load_kernels(settings: Settings) -> None:
    """Trains with these settings on next to nothing: what is measured afterwards finds all kernels in memory."""
    log = sparserec_np.generate(200, 150, 3000, groups=5)
    fixed = {"epochs": min(1, settings.get("epochs", 1)), "validation": 0.0, "learning_rate": 0.01}
    fitted = sparserec_np.train(log, sparserec_np.Config(**settings | fixed))
    fitted.model.ranker().rank(log.pair_users()[:1], 20, log)
