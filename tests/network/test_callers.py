"""Who asks through a tunnel: every stranger has limits of their own, and can be nobody else."""

from __future__ import annotations

import pytest

from tests.network.internet import NEIGHBOUR, STRANGER
from tests.network.stranger import visiting

# Nobody asks often enough by accident, and a test does in a moment.
CONFIG = "rates: {address: 5/h}\n"
LIES = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP")


@pytest.fixture(scope="module")
def laptop(make_laptop):
    return make_laptop(CONFIG)


def statuses(net, link, count, source=STRANGER, **headers):
    with visiting(net.stranger, link, source=source) as visit:
        return [visit.predict(link, value, **headers).status for value in range(count)]


def test_each_stranger_has_a_limit_of_their_own(net, by_relay):
    assert statuses(net, by_relay, 7) == [200] * 5 + [429] * 2
    assert statuses(net, by_relay, 5, NEIGHBOUR) == [200] * 5


@pytest.mark.parametrize("name", LIES)
def test_nobody_becomes_somebody_else_by_saying_so(net, by_relay, name):
    """Whoever believed it would let in without end who lies."""
    for number in range(20):
        lie = f"203.0.113.{100 + number}"
        told = f"for={lie}" if name == "Forwarded" else lie
        statuses(net, by_relay, 1, **{name: told})

    assert statuses(net, by_relay, 1, **{name: told}) == [429]
