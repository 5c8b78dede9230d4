"""When patience ends, as a function of values."""

from __future__ import annotations

import pytest

from prism_core.rest.patience import LINGER_S, Due, Owed, deadline
from prism_core.settings import LimitSettings

LIMITS = LimitSettings(head_s=10, body_s=20, body_rate=500, write_s=30, idle_s=75)


@pytest.mark.parametrize(
    ("owed", "expected"),
    [
        (Owed(Due.REQUEST, 100.0), 175),
        (Owed(Due.HEAD, 100.0), 110),
        (Owed(Due.HEAD, 100.0, got=30_000), 110),  # no bytes buy a longer head
        (Owed(Due.BODY, 100.0), 120),
        (Owed(Due.BODY, 100.0, got=20), 120.04),  # a byte a second gains nothing
        (Owed(Due.BODY, 100.0, got=500_000), 1120),
        (Owed(Due.READING, 100.0), 130),
        (Owed(Due.LEAVING, 100.0), 100 + LINGER_S),
        (Owed(Due.NOTHING, 100.0), 175),
    ],
)
def test_deadlines(owed, expected):
    assert deadline(owed, LIMITS) == pytest.approx(expected)


def test_every_due_has_a_deadline():
    assert all(deadline(Owed(due, 1.0), LIMITS) > 1.0 for due in Due)
