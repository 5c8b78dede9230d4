"""Durations on the command line."""

import pytest

from prism_core.cli.durations import parse_duration, until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30min", 1800),
        ("30m", 1800),
        ("2h", 7200),
        ("1.5 h", 5400),
        ("7d", 604_800),
        ("2W", 1_209_600),
    ],
)
def test_what_a_duration_is(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "2 years", "1e9s", "nan s"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, "never"),
        (-1, "expired"),
        (0, "expired"),
        (30, "in a moment"),
        (120, "in 2 min"),
        (5400, "in 90 min"),
        (7199.9, "in 2 h"),
        (90_000, "in 25 h"),
        (7 * 86_400 - 1, "in 7 d"),
    ],
)
def test_how_long_it_is_until_then(left, told):
    assert until(None if left is None else 1000.0 + left, 1000.0) == told
