"""What a leading gateway opens for its followers: a private door, and their processes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs

from prism_core import logs
from prism_core.gateway.channel import Start
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.keeping import Keepers, keeping
from prism_core.rest.accepting import Listening, accepting
from prism_core.rest.handing import Handed
from prism_core.rest.listen import BACKLOG
from prism_core.rest.room import Room
from prism_core.settings import LimitSettings


@asynccontextmanager
async def leading(
    gateway: Gateway, front: Any, listeners: Sequence[socket.socket], hurry: asyncio.Event
) -> AsyncIterator[Keepers]:
    """Be ready to start a follower for each listener; at the end they drain, then the door closes.

    Parameters
    ----------
    front
        The public application: what followers hand on is answered by it.
    """
    settings, followers = gateway.settings, gateway.followers
    path = gateway.operator.run / "gateway.sock"
    start = Start(settings, str(path), logs.writes_json(), gateway.traffic.recording_key)
    if not listeners:
        async with keeping(followers, (), start, hurry) as keepers:
            yield keepers
        return
    limits = _wider(settings.limits)
    with _private(path) as door:
        async with (
            accepting({door: Listening(Handed(front), Room(limits.max_connections))}, hurry, limits),
            keeping(followers, listeners, start, hurry) as keepers,
        ):
            yield keepers


def _wider(limits: LimitSettings) -> LimitSettings:
    """Return limits that hold off nothing which a follower let in: it adds a header of its own."""
    return attrs.evolve(limits, max_head=2 * limits.max_head, max_headers=2 * limits.max_headers)


@contextmanager
def _private(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket; only this account can enter the directory that it lies in."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen(BACKLOG)
        door.setblocking(False)
        yield door
