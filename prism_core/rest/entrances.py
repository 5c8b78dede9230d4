"""A listener of its own for each tunnel: on loopback, for links and nothing else.

What a tunnel leads in comes from this machine, as the tunnel's end does; so nothing that
only this machine may ask, and nothing of the public listener beside links, must be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prism_core.gateway.gateway import Gateway
from prism_core.protocols import PublicListener
from prism_core.rest.accepting import Listening, accepting
from prism_core.rest.access import AccessLog
from prism_core.rest.linked import link_app
from prism_core.rest.listen import address_of, listen
from prism_core.rest.room import Room
from prism_core.specs import LinkProvider


class LinkEntrances:
    """Opens them; their visitors count with those of the public listener.

    Parameters
    ----------
    gateway
        Knows the links.
    room
        That of the public listener.
    hurry
        Set when nobody waits for answers any more.
    access
        Where each request is told, if anywhere.
    """

    def __init__(
        self, gateway: Gateway, room: Room, hurry: asyncio.Event, access: AccessLog | None = None
    ) -> None:
        self._access = access
        self._gateway = gateway
        self._room = room
        self._hurry = hurry

    @asynccontextmanager
    async def open(self, provider: LinkProvider) -> AsyncIterator[PublicListener]:
        """Open a listener for what ``provider`` leads in; at its end it is drained."""
        face = Listening(link_app(self._gateway, provider.forwards, self._access), self._room)
        limits = self._gateway.settings.limits
        with listen("127.0.0.1", 0, "--port") as listener:
            async with accepting({listener: face}, self._hurry, limits):
                yield PublicListener(*address_of(listener))

    def full(self) -> bool:
        """Return whether there is room for nobody more."""
        return self._room.full
