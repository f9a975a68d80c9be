"""The calls of kernels: names, bytes, limits, and that they can be made."""

from __future__ import annotations

from pathlib import Path

import sparserec_np
from benchmarks.side_by_side import kernel_calls, kernels
from tests.makers.small import needs_compiler, small_log


@needs_compiler
def test_every_kernel_goes_by_its_own_name(tmp_path: Path) -> None:
    path = str(tmp_path / "train.txt")
    sparserec_np.write_interactions(small_log(), path)
    works = list(kernel_calls.works(path))
    assert len(works) > 20
    for work in works:
        kernel = getattr(work.kernel, "py_func", work.kernel)
        file = kernel.__module__.rsplit(".", 1)[1]
        assert work.name.split(",")[0].split(" ")[0] == f"{file}.{kernel.__name__}"
        assert work.moved > 0
        assert work.limit in kernels.LIMITS
        work.kernel(*work.arguments[0])
