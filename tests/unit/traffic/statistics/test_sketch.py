"""Quantiles, one alpha for all, and how long it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.statistics.forecast import of_rates
from prism_core.traffic.statistics.rates import Pair, Rate, interval
from prism_core.traffic.statistics.sketch import Sketch
from prism_core.traffic.statistics.spending import of_window, shared


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_near(values, part):
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    exact = np.quantile(values, part, method="inverted_cdf")

    assert sketch.quantile(part) == pytest.approx(exact, rel=0.026)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-9, 1e9])
def test_what_is_out_of_all_bounds_is_kept_at_the_edge(value):
    sketch = Sketch()
    sketch.add(value)

    assert sketch.n == 1
    assert sketch.quantile(0.5) > 0


def test_all_windows_together_err_no_more_than_one_alpha():
    spent = sum(of_window(0.01, number) for number in range(1, 100_000))

    assert spent == pytest.approx(0.01, rel=1e-4)
    assert shared(0.05, 4) == pytest.approx(0.0125)
    assert shared(0.05, 0) == 0.05


def test_a_forecast_comes_true():
    so_far = Pair(Rate(500, 5), Rate(500, 5))
    more = of_rates([so_far], 0.02, 0.0125)
    assert more is not None

    n = math.ceil(500 * more)
    assert interval([Pair(Rate(n, n * 0.01), Rate(n, n * 0.03))], 0.0125).low > 0
    n = math.floor(n / 1.1)
    assert interval([Pair(Rate(n, n * 0.01), Rate(n, n * 0.03))], 0.0125).low < 0


def test_a_difference_that_cannot_be_is_never_forecast():
    assert of_rates([Pair(Rate(), Rate(10, 1))], 0.01, 0.05) is None
    assert of_rates([Pair(Rate(1000, 0), Rate(1000, 0))], -0.01, 0.05) is None
