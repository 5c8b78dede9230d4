"""A name in the local network by multicast DNS, such as ``prism.local``, and the service that it belongs to.

Only the interface that leads to the named address hears of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

log = logging.getLogger("prism.links")

SERVICE = "_http._tcp.local."
# How long whoever has a name already may take to say so; RFC 6762 has three questions, 250 ms apart.
TAKEN_MS = 800
# A house with more servers of one name wants another one.
MOST_NAMES = 20


class Announcer:
    """Announces one name at a time."""

    def __init__(self) -> None:
        self._open: tuple[AsyncZeroconf, AsyncServiceInfo] | None = None
        self._announcing: Awaitable[Any] | None = None

    async def announce(self, label: str, address: str, port: int) -> str:
        """Let ``label.local`` be ``address``, or the next free name; return it.

        Raises
        ------
        OSError
            If nothing can be announced on that interface.
        """
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        await self.withdraw()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.bind((address, 0))  # zeroconf would find out with a socket open that it forgets
        zeroconf = AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
        try:
            await zeroconf.zeroconf.async_wait_for_start()
            name = await free_name(zeroconf, label, address)
            info = _service(name, address, port)
            self._announcing = await zeroconf.async_register_service(info, allow_name_change=True)
        except BaseException:
            await zeroconf.async_close()
            raise
        self._open = (zeroconf, info)
        return name

    async def withdraw(self) -> None:
        """Say that the name is gone; safe to call twice."""
        if self._open is None:
            return
        (zeroconf, _), self._open = self._open, None
        if self._announcing is not None:
            await asyncio.gather(self._announcing, return_exceptions=True)
        with suppress(OSError):  # the interface is gone already
            await zeroconf.async_close()


async def free_name(zeroconf: AsyncZeroconf, label: str, address: str) -> str:
    """Return ``label.local`` if nobody else has it, else ``label-2.local`` and so on.

    Raises
    ------
    OSError
        If all are taken.
    """
    for number in range(1, MOST_NAMES + 1):
        name = f"{label}.local" if number == 1 else f"{label}-{number}.local"
        others = await holders(zeroconf, name) - {address}
        if not others:
            return name
        log.warning("%s is the name of %s already; trying the next.", name, ", ".join(sorted(others)))
    raise OSError(f"{label}.local and {MOST_NAMES - 1} more such names are taken.")


async def holders(zeroconf: AsyncZeroconf, name: str) -> set[str]:
    """Return the addresses that answer to a name."""
    # Not among the names that its types export.
    resolver: AsyncServiceInfo = import_module("zeroconf").AddressResolverIPv4(f"{name}.")
    await resolver.async_request(zeroconf.zeroconf, TAKEN_MS)
    return set(resolver.parsed_addresses())


def _service(name: str, address: str, port: int) -> AsyncServiceInfo:
    from zeroconf.asyncio import AsyncServiceInfo

    return AsyncServiceInfo(
        SERVICE,
        f"{name.removesuffix('.local')}.{SERVICE}",
        addresses=[socket.inet_aton(address)],
        port=port,
        server=f"{name}.",
    )
