"""A rate is read as people write it, and said as it is read."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.converters import structure
from prism_core.errors import ConfigError
from prism_core.rates import MOST, Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", Rate(5, 1, 5)),
        (" 5 / sec ", Rate(5, 1, 5)),
        ("100/min", Rate(100, 60, 100)),
        ("100/minute", Rate(100, 60, 100)),
        ("1000/h", Rate(1000, 3600, 1000)),
        ("1/day", Rate(1, 86_400, 1)),
        ("3/10s", Rate(3, 10, 3)),
        ("5/s burst 20", Rate(5, 1, 20)),
        ("60/min burst 1", Rate(60, 60, 1)),
    ],
)
def test_what_people_write(text, rate):
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "5", "5/", "/s", "-5/s", "0/s", "5/week", "5/0s", "5/s burst 0", "5/s 20", "1.5/s", "5/0h"],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)


@given(st.integers(1, MOST), st.integers(1, MOST), st.integers(1, MOST))
def test_it_is_said_as_it_is_read(count, period_s, burst):
    rate = Rate(count, period_s, burst)

    assert Rate.parse(str(rate)) == rate
    assert rate.window_s == pytest.approx(rate.burst * rate.interval_s)


@attrs.frozen
class Settings:
    rate: Rate | None = None


def test_settings_take_a_rate_as_text():
    assert structure({"rate": "5/s"}, Settings) == Settings(Rate(5, 1, 5))
    assert structure({}, Settings).rate is None


@pytest.mark.parametrize("wrong", ["5 a second", 5, True])
def test_a_wrong_rate_in_settings_names_its_key(wrong):
    with pytest.raises(ConfigError, match=r"^rate: expected a rate such as 5/s"):
        structure({"rate": wrong}, Settings)
