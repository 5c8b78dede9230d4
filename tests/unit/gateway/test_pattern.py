"""The hours of the week: which are alike, and what is expected in them."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.pattern import LEAD_S, LOOKED_AT_WEEKS, Slot, coming, expected, slot_at

MONDAY_NINE = datetime(2026, 11, 23, 9).timestamp()
WEEK_S = 7 * 86400


@pytest.mark.parametrize(
    ("moment", "hour"),
    [
        (datetime(2026, 11, 23, 0, 0), 0),
        (datetime(2026, 11, 23, 9, 59), 9),
        (datetime(2026, 11, 29, 23, 0), 167),
    ],
    ids=str,
)
def test_hours_are_counted_from_monday(moment, hour):
    assert slot_at(moment.timestamp()).hour == hour


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_the_same_hour_of_the_next_week_is_the_same_hour(moment):
    slot = slot_at(moment.timestamp())
    later = slot_at(datetime.fromordinal(moment.toordinal() + 7).replace(hour=moment.hour).timestamp())

    assert later == Slot(slot.week + 1, slot.hour)


def test_an_hour_is_coming_shortly_before_it_begins():
    begins = slot_at(MONDAY_NINE)

    assert coming(MONDAY_NINE - LEAD_S - 1) is None
    assert coming(MONDAY_NINE - LEAD_S) == coming(MONDAY_NINE - 1) == begins
    assert coming(MONDAY_NINE) is None


@pytest.mark.parametrize(
    ("weeks", "is_expected"),
    [([99, 98], True), ([99], False), ([99, 99], False), ([96, 97], True), ([95, 94], False), ([100], False)],
    ids=str,
)
def test_two_of_the_last_four_weeks_make_a_habit(weeks, is_expected):
    assert LOOKED_AT_WEEKS == 4
    assert expected([("churn", week) for week in weeks], 100) == ({"churn"} if is_expected else set())
