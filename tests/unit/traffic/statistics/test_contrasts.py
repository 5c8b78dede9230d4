"""What may be said of a difference that is seen in slices of time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from prism_core.traffic.statistics.contrasts import Contrast, boundary, weight_of
from prism_core.traffic.statistics.forecast import of_contrast

slices = st.lists(st.tuples(st.floats(0.5, 9), st.floats(-3, 3)), min_size=1, max_size=150)


def contrast(found) -> Contrast:
    made = Contrast()
    for weight, difference in found:
        made.add(weight, difference)
    return made


@given(slices)
def test_sums_are_those_of_the_slices(found):
    weights, differences = map(np.array, zip(*found, strict=True))
    made = contrast(found)

    assert made.slices == len(found)
    assert made.mean == pytest.approx(np.average(differences, weights=weights), abs=1e-9)
    for power, level in enumerate(made.levels):
        whole = len(found) >> power
        batches = (weights * differences)[: whole << power].reshape(whole, 1 << power).sum(1)
        assert level.sums == whole
        assert level.squares(0.0) == pytest.approx((batches**2).sum(), abs=1e-6)


@settings(max_examples=80)
@given(slices, st.sampled_from([0.05, 0.0025]))
def test_an_interval_ends_where_the_bound_is_met(found, alpha):
    made = contrast(found)
    ends = made.interval(alpha)
    c = boundary(made.slices, alpha) * made.inflation

    if math.isinf(ends.low):
        return
    assert ends.low <= made.mean + 1e-9
    assert made.mean <= ends.high + 1e-9
    for end in (ends.low, ends.high):
        left = (made.hd - end * made.h) ** 2
        assert left == pytest.approx(c * made.levels[0].squares(end), rel=1e-4, abs=1e-3)


def test_few_slices_say_nothing():
    """However clear they seem: so many heads in a row are no rarity among all who look."""
    clear = contrast([(1.0, 1.0)] * 11)

    assert clear.interval(0.05).low == -math.inf
    clear.add(1.0, 1.0)
    clear.add(1.0, 1.0)
    assert clear.interval(0.05).low > 0


def test_what_lasts_longer_than_a_slice_widens_the_interval():
    generator = np.random.default_rng(3)
    alone = generator.standard_normal(512)
    lasting = np.repeat(generator.standard_normal(64), 8)

    assert contrast((1.0, d) for d in alone).inflation < 3
    assert contrast((1.0, d) for d in lasting).inflation > 4


@pytest.mark.parametrize("draw", ["normal", "heavy"])
def test_a_look_after_every_slice_is_wrong_less_often_than_alpha(draw):
    """Symmetric, however heavy the tails: Cauchy's have no variance at all."""
    generator, runs, alpha = np.random.default_rng(5), 400, 0.1
    found = (
        generator.standard_normal((runs, 100)) if draw == "normal" else generator.standard_cauchy((runs, 100))
    )
    sums, squares = found.cumsum(1), (found**2).cumsum(1)
    c = np.array([boundary(n, alpha) for n in range(1, 101)])

    wrong = (sums**2 > c * squares).any(1).sum()

    assert wrong <= binom.ppf(0.999, runs, alpha)


def test_more_slices_are_needed_for_a_smaller_difference():
    generator = np.random.default_rng(7)
    made = contrast((2.5, d) for d in generator.normal(0, 0.3, 40))
    large, small = of_contrast(made, 0.2, 0.01), of_contrast(made, 0.02, 0.01)

    assert large is not None
    assert small is not None
    assert 60 < small / large < 140  # a tenth of the difference: about a hundred times


def test_the_weight_is_the_inverse_of_the_variance():
    assert weight_of(10, 10) == 5
    assert weight_of(990, 10) == pytest.approx(9.9)
    assert weight_of(0, 10) == 0
