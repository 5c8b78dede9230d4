"""The link of the local network: this machine's own address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import attrs

from prism_core.hookspecs import hookimpl
from prism_core.network import outward_address
from prism_core.protocols import PublicListener
from prism_core.specs import LinkProvider


@attrs.frozen
class LanConfig:
    """``plugins.lan``. ``host`` replaces the address that is found, for instance by a DNS name."""

    host: str = ""


@attrs.frozen
class LanLinker:
    """Names the address; there is nothing to open and nothing to withdraw."""

    config: LanConfig = LanConfig()
    find: Callable[[], str] = outward_address

    async def publish(self, listener: PublicListener) -> str:
        """Return the base URL in the local network; a specific listener is named as it is."""
        return listener.url(self.config.host or (self.find() if listener.everywhere else listener.host))

    async def withdraw(self) -> None:
        """Do nothing."""

    async def health(self) -> str:
        """Return "": the address is there as long as the machine is."""
        return ""


@asynccontextmanager
async def open_lan(config: LanConfig) -> AsyncIterator[LanLinker]:
    """Open the provider."""
    yield LanLinker(config)


@hookimpl
def prism_link_providers() -> Iterator[LinkProvider]:
    """Offer the local network."""
    yield LinkProvider("lan", open=open_lan, config=LanConfig)
