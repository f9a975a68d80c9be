"""The masked loop in PyTorch: as many active entries at all times, and no other entry that counts."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'sparserec_np[bench]'"
)


@pytest.fixture
def model() -> Any:
    from benchmarks.side_by_side.masked_torch import MaskedFactorization

    torch.manual_seed(0)
    return MaskedFactorization(rows=40, dim=8, density=0.25, rate=0.1)


def step(model: Any, keep_gradient: bool = True) -> None:
    users, positives, negatives = (torch.randint(low, low + 20, (16,)) for low in (0, 20, 20))
    model.step(users, positives, negatives, keep_gradient)


def test_density_stays_constant(model: Any) -> None:
    for fraction in (0.3, 0.5, 0.1, 0.9):
        step(model)
        before = model.mask.clone()
        changed = model.update_mask(fraction)
        assert changed == int(fraction * 80)
        assert int(model.mask.sum()) == 80
        assert set(model.mask.unique().tolist()) == {0.0, 1.0}
        assert int((model.mask - before).clamp(min=0).sum()) == changed


def test_inactive_entries_stay_at_zero(model: Any) -> None:
    for _ in range(3):
        step(model)
        step(model)
        model.update_mask(0.3)
        assert not model.table[model.mask == 0].any()


def test_the_smallest_go_and_the_steepest_come(model: Any) -> None:
    step(model)
    before = model.mask.clone()
    magnitudes, slopes = model.table.detach().abs().clone(), model.last_gradient.abs()
    model.update_mask(0.3)
    gone, kept = (before == 1) & (model.mask == 0), (before == 1) & (model.mask == 1)
    assert magnitudes[gone].max() <= magnitudes[kept].min()
    come, left = (before == 0) & (model.mask == 1), (before == 0) & (model.mask == 0)
    assert slopes[come].min() >= slopes[left].max()
    assert slopes[come].max() > 0


def test_training_lowers_the_loss(model: Any) -> None:
    users, positives, negatives = torch.arange(10), torch.arange(20, 30), torch.arange(30, 40)

    def wins() -> int:
        table = model.table * model.mask
        margins = (table[users] * (table[positives] - table[negatives])).sum(1)
        return int((margins > 0).sum())

    before = wins()
    for _ in range(30):
        model.step(users, positives, negatives)
    assert wins() > before
