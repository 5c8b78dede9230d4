"""Malformed requests over REST: each is refused as its sender's fault, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest

from prism_core.testing.server import ServerProcess
from tests.hostile.conftest import GROWTH_MB, facts
from tests.hostile.requests import SPOILERS, case
from tests.hostile.wave import Verdicts, send

SEED, PIECE = 7, 2_000
# Until here all heads that are kept, and the memory that malloc keeps, have been seen once.
SETTLED = 8_000


def attack(server: ServerProcess, first: int, count: int) -> Verdicts:
    """Send so many cases; what is wrong with an answer fails the test, with the case that makes it again."""
    verdicts = asyncio.run(send(server.url, [case(SEED, first + number) for number in range(count)]))
    assert not verdicts.faults, f"{len(verdicts.faults)} faults, the first ones:\n" + "\n".join(
        verdicts.faults[:5]
    )
    assert sum(verdicts.statuses.values()) == count
    return verdicts


def test_a_thousand_malformed_requests_are_refused(server, unharmed):
    verdicts = attack(server, 0, 1_000)

    assert len({kind for kind, _ in verdicts.kinds}) > len(SPOILERS) * 0.9
    assert {400, 404, 415, 422} <= verdicts.statuses.keys()


@pytest.mark.sweep
def test_thirty_thousand_malformed_requests_leave_no_trace(server, unharmed):
    attack(server, 1_000, SETTLED)
    before = facts(server)
    for first in range(1_000 + SETTLED, 31_000, PIECE):
        attack(server, first, PIECE)

    assert facts(server).memory_mb - before.memory_mb < GROWTH_MB
