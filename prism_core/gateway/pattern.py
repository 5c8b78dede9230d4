"""When a model is used in the week, and whether it will be in the coming hour. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import attrs

# A model is expected in an hour of the week in which it was used in so many of the last weeks.
LOOKED_AT_WEEKS = 4
EXPECTED_WEEKS = 2
# Counts of older weeks are forgotten.
KEPT_WEEKS = 8
# So long before its hour an expected model is loaded.
LEAD_S = 300.0


@attrs.frozen
class Slot:
    """One hour in one week. Weeks are counted, hours go from 0 (Monday at midnight) to 167."""

    week: int
    hour: int


def slot_at(now: float) -> Slot:
    """Return the slot of a moment in Unix seconds, by this machine's clock: habits follow the wall clock."""
    moment = datetime.fromtimestamp(now)
    # Day 1 of the calendar was a Monday.
    week, day = divmod(moment.toordinal() - 1, 7)
    return Slot(week, day * 24 + moment.hour)


def coming(now: float) -> Slot | None:
    """Return the slot that begins within `LEAD_S`, None where that is further off."""
    soon = slot_at(now + LEAD_S)
    return soon if soon != slot_at(now) else None


def expected(used: Iterable[tuple[str, int]], week: int) -> set[str]:
    """Return the models that are expected in an hour of ``week``.

    Parameters
    ----------
    used
        Model and week of each time that it was used in this hour of the week.
    """
    weeks: dict[str, set[int]] = {}
    for model, past in used:
        if week - LOOKED_AT_WEEKS <= past < week:
            weeks.setdefault(model, set()).add(past)
    return {model for model, found in weeks.items() if len(found) >= EXPECTED_WEEKS}
