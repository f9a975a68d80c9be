"""Masked sums, noise and apps of Flower say which package they need where it is missing."""

from __future__ import annotations

import importlib.util

import pytest

from sparserec_np.errors import SparseRecError
from sparserec_np.federated.flower import client_app, server_app
from sparserec_np.federated.secure import Circle, MaskedSum, Masker


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    circle = Circle(5, 0)
    for begin in (lambda: Masker(0, circle, 3), lambda: MaskedSum(circle, {}, 3).opened({})):
        with pytest.raises(SparseRecError, match="need the package cryptography: pip install"):
            begin()


def test_flower_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for make in (lambda: client_app(lambda context: []), lambda: server_app(lambda grid, context: None)):
        with pytest.raises(SparseRecError, match=r"need the package flwr, and Python 3.11: pip install"):
            make()
