"""LightGCN beside PyTorch's: steps that are counted, and two ways to go back that are one."""

from __future__ import annotations

import pytest

from benchmarks.side_by_side import lightgcn
from tests.makers.small import needs_compiler, small_log


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # PyTorch calls them beta, and warns once
def test_both_ways_of_pytorch_make_the_same_steps() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'sparserec_np[bench]'")
    log = small_log()
    tables = []

    class Adam(torch.optim.Adam):  # type: ignore[misc, name-defined]
        def step(self) -> None:
            super().step()
            tables.append(self.param_groups[0]["params"][0].detach().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Adam)
        for way in (lightgcn.in_torch, lightgcn.in_torch_by_hand):
            times, batches = way(log, 1, 3)
            assert batches == 1  # no batch holds more than the whole log
            assert len(times) == 1 and times[0] > 0
    plain, by_hand = tables
    assert torch.allclose(plain, by_hand, atol=1e-6)
    assert plain.shape == (log.n_users + log.n_items, lightgcn.DIM)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_our_steps_are_timed(density: float) -> None:
    times, batches = lightgcn.ours(density, small_log(), 1, 3)
    assert (len(times), batches) == (1, 1)
    assert times[0] > 0
