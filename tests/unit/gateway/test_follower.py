"""A follower's own end: what it does with what it is told before it takes requests."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

from prism_core.gateway.channel import Accept, Report, Update, leaders_end
from prism_core.gateway.follower import open_follower
from prism_core.gateway.table import SharedModel
from prism_core.settings import LimitSettings
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share
from tests.unit.gateway.test_mirror import lane_of


@asynccontextmanager
async def followed():
    """A follower, and what the leader says to it."""
    heard: list[Report] = []
    ours, its = socket.socketpair()
    leader = await leaders_end(ours, heard.append)
    opening = open_follower(its, lambda record, moved: lane_of, LimitSettings())
    try:
        async with opening as follower:
            yield follower, leader.send
            leader.close()  # the follower waits until everything is read
    finally:
        leader.close()


async def test_a_tap_that_comes_after_the_models_gets_their_requests_too():
    """What a gateway opens may wait for something, and the leader does not wait for it."""
    async with followed() as (follower, say):
        say(Update({"m": SharedModel("m", 1, None, {}, (), Route((Share(1),)), 1)}))
        async with asyncio.timeout(10):
            while "m" not in follower.mirror.registry.lanes:
                await asyncio.sleep(0)
            seen = []
            follower.routing.taps.append(lambda routed: seen.append(routed.model))
            say(Accept())
            assert await follower.welcome()

        assert seen == ["m"]
