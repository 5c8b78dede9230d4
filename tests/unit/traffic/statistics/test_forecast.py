"""One alpha for all, and how long it takes."""

from __future__ import annotations

import math

import pytest

from prism_core.traffic.statistics.forecast import of_rates
from prism_core.traffic.statistics.rates import Pair, Rate, interval
from prism_core.traffic.statistics.spending import of_window, shared


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
