"""The link of the local network: this machine's own address, or a name for it there."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import attrs

from prism_core.hookspecs import hookimpl
from prism_core.links.mdns import Announcer
from prism_core.network import outward_address
from prism_core.protocols import PublicListener
from prism_core.specs import LinkProvider

log = logging.getLogger("prism.links")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@attrs.frozen
class LanConfig:
    """``plugins.lan``: what stands in URLs instead of the address that is found.

    ``host`` is a name that others make known, as a DNS server does; ``mdns`` is one that the server
    makes known itself, without its ``.local``.
    """

    host: str = ""
    mdns: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse a name that cannot be announced."""
        if not self.mdns:
            return
        if self.host:
            raise ValueError("host and mdns cannot both be the name in URLs.")
        if not _LABEL.fullmatch(self.mdns):
            raise ValueError(
                f"mdns is {self.mdns!r}; it is one word of a-z, 0-9 and -, as prism for prism.local."
            )
        if importlib.util.find_spec("zeroconf") is None:
            raise ValueError("mdns needs a package: pip install 'prism-core[mdns]'.")


@attrs.define
class LanLinker:
    """Names the address; there is nothing to open, and only a name to withdraw."""

    config: LanConfig = LanConfig()
    find: Callable[[], str] = outward_address
    announcer: Announcer = attrs.field(factory=Announcer)

    async def publish(self, listener: PublicListener) -> str:
        """Return the base URL in the local network; a specific listener is named as it is."""
        if self.config.host:
            return listener.url(self.config.host)
        address = self.find() if listener.everywhere else listener.host
        return listener.url(await self._name(address, listener.port) or address)

    async def _name(self, address: str, port: int) -> str:
        """Announce the name that is wished for; return it, "" where there is none."""
        if not self.config.mdns:
            return ""
        try:
            return await self.announcer.announce(self.config.mdns, address, port)
        except OSError as error:  # the address itself leads here too
            log.warning("%s.local cannot be announced on %s: %s", self.config.mdns, address, error)
            return ""

    async def withdraw(self) -> None:
        """Take the name back."""
        await self.announcer.withdraw()

    async def health(self) -> str:
        """Return "": the address is there as long as the machine is."""
        return ""


@asynccontextmanager
async def open_lan(config: LanConfig) -> AsyncIterator[LanLinker]:
    """Open the provider."""
    linker = LanLinker(config)
    try:
        yield linker
    finally:
        await linker.withdraw()


@hookimpl
def prism_link_providers() -> Iterator[LinkProvider]:
    """Offer the local network."""
    yield LinkProvider("lan", open=open_lan, config=LanConfig)
