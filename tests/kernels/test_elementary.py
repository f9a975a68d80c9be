"""Exponentials and logarithms to the last places, and sums in any number of lanes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import elementary as compiled
from sparserec_np.kernels.reference import elementary as reference
from tests.makers.kernel_cases import PRECISIONS, Array, assert_close

TINY = np.float32(1.17549435e-38)  # the smallest normal float32


@numba.njit
def exp_in_a_kernel(x: Any, out: Any) -> None:
    compiled.exp_into(x, out)


@numba.njit
def log_in_a_kernel(x: Any, out: Any) -> None:
    compiled.log_into(x, out)


EXPONENTIALS = {
    "polynomial": compiled._exp32,
    "in a kernel": exp_in_a_kernel,
    "from Python": compiled.exp_into,
    "reference": reference.exp_into,
}
LOGARITHMS = {
    "polynomial": compiled._log32,
    "in a kernel": log_in_a_kernel,
    "from Python": compiled.log_into,
    "reference": reference.log_into,
}
exponentials = pytest.mark.parametrize("exp", EXPONENTIALS.values(), ids=EXPONENTIALS)
logarithms = pytest.mark.parametrize("log", LOGARITHMS.values(), ids=LOGARITHMS)


def apply(function: Any, x: Any, dtype: Any = np.float32) -> Array:
    x = np.asarray(x, dtype=dtype)
    out = np.full_like(x, 77)
    with np.errstate(all="ignore"):
        function(x, out)
    return out


def assert_right_to_the_last_places(function: Any, found: Array, exact: Array) -> None:
    """2 units in the last place for the polynomials, and 4 for NumPy, whose own bound that is."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    error = np.abs(found.astype(np.float64) - exact) / unit
    assert error.max() <= (2 if function in (compiled._exp32, compiled._log32) else 4)


@exponentials
def test_exponentials_over_their_whole_range(exp: Any) -> None:
    x = np.concatenate([np.linspace(-87, 88, 4001), np.linspace(-1, 1, 1001)]).astype(np.float32)
    assert_right_to_the_last_places(exp, apply(exp, x), np.exp(x.astype(np.float64)))


@exponentials
def test_exponentials_stay_normal_numbers(exp: Any) -> None:
    below = np.nextafter(np.float32(-87), np.float32(-100))
    found = apply(exp, [-np.inf, -1000, -100, below, -87, 0, -0.0, 88, 89, 1000, np.inf])
    assert found[:4].tolist() == [0] * 4
    assert found[4] >= TINY
    assert found[5:7].tolist() == [1, 1]
    assert np.isfinite(found).all()
    assert (found[8:] == found[7]).all()
    assert found[7] == pytest.approx(np.exp(88.0), rel=3e-7)


@exponentials
def test_exponentials_keep_nan(exp: Any) -> None:
    assert np.isnan(apply(exp, [np.nan] * 33)).all()


@pytest.mark.parametrize("exp", [exp_in_a_kernel, compiled.exp_into, compiled._exp64, reference.exp_into])
def test_exponentials_of_float64(exp: Any) -> None:
    x = np.linspace(-87, 88, 501)
    np.testing.assert_allclose(apply(exp, x, np.float64), np.exp(x), rtol=1e-15)
    found = apply(exp, [-np.inf, -87.1, 88, 1000, np.inf, np.nan], np.float64)
    assert found[:2].tolist() == [0, 0]
    np.testing.assert_allclose(found[2:5], np.exp(88.0), rtol=1e-15)
    assert np.isnan(found[5])


@logarithms
def test_logarithms_over_their_whole_range(log: Any) -> None:
    powers = np.float32(2.0) ** np.arange(-126, 128, dtype=np.float32)
    x = np.concatenate(
        [
            powers,
            powers[1:-1] * np.float32(1.4142135),
            powers[1:-1] * np.float32(1.9999999),
            np.linspace(1, 2, 999),
        ]
    ).astype(np.float32)
    x = np.concatenate([x, [TINY, np.finfo(np.float32).max], 1 + np.logspace(-7, 3, 999)]).astype(np.float32)
    assert_right_to_the_last_places(log, apply(log, x), np.log(x.astype(np.float64)))


@logarithms
def test_logarithms_keep_nan(log: Any) -> None:
    found = apply(log, [1, np.nan, 2])
    assert found[0] == 0
    assert np.isnan(found[1])


@pytest.mark.parametrize("log", [log_in_a_kernel, compiled.log_into, compiled._log64, reference.log_into])
def test_logarithms_of_float64(log: Any) -> None:
    x = np.logspace(-300, 300, 501)
    np.testing.assert_allclose(apply(log, x, np.float64), np.log(x), rtol=1e-15, atol=1e-15)
    assert np.isnan(apply(log, [np.nan], np.float64)).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 70), dtype=st.sampled_from(PRECISIONS))
def test_sums_agree(seed: int, n: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, n)).astype(dtype)
    for found, expected, exact in (
        (
            compiled.dot(a, b),
            reference.dot(a, b),
            sum(float(x) * float(y) for x, y in zip(a, b, strict=True)),
        ),
        (compiled.total(a), reference.total(a), sum(float(x) for x in a)),
    ):
        assert expected.dtype == dtype
        assert_close(np.asarray(found, dtype), exact, scale=10)
        assert_close(np.asarray(expected, dtype), exact, scale=10)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_sums_carry_nan_and_infinity(dtype: Any) -> None:
    for special in (np.nan, np.inf):
        a = np.ones(40, dtype=dtype)
        a[17] = special
        for found in (compiled.total(a), reference.total(a), compiled.dot(a, a), reference.dot(a, a)):
            np.testing.assert_equal(float(found), special)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=70),
    dtype=st.sampled_from(PRECISIONS),
)
def test_the_highest_agrees(values: list[float], dtype: Any) -> None:
    a = np.array(values, dtype=dtype)
    assert compiled.highest(a) == reference.highest(a) == dtype(max(values))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_highest_is_found_wherever_it_lies(dtype: Any) -> None:
    for n in range(1, 36):
        for place in range(n):
            a = np.full(n, -np.inf, dtype=dtype)
            a[place] = -1
            assert compiled.highest(a) == -1
