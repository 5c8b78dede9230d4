"""Notice that the machine slept or has another network: connections may be dead and not know it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from prism_core.gateway.upkeep import Look
from prism_core.network import outward_address

log = structlog.get_logger("prism.links")

# Between two looks at clocks and network, which take microseconds.
TICK_S = 2.0


async def watch(
    look: Callable[[str], Awaitable[None]],
    find_address: Callable[[], str] = outward_address,
    clocks: tuple[Callable[[], float], Callable[[], float]] = (time.time, time.monotonic),
    tick_s: float = TICK_S,
) -> None:
    """Call ``look`` at every tick with what has happened, "" for nothing, until cancelled."""

    def now() -> Look:
        return Look(clocks[0](), clocks[1](), find_address())

    last = now()
    while True:
        await asyncio.sleep(tick_s)
        this = now()
        disturbance = last.disturbed(this, tick_s)
        last = this
        try:
            await look(disturbance)
        except Exception:  # the next look must come
            log.exception("link.look_failed")
