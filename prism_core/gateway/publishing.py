"""How links are reached: which link providers are open, for whom, and under which addresses.

A provider is open while a link wants it. `Tunnel` keeps one of them up; here is who wants which,
and what has to be looked after at once because the machine slept or its network changed. Nothing here
raises into the server: a tunnel that fails is told by its `TunnelInfo`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol

import structlog

from prism_core.converters import named
from prism_core.errors import PrismError, TunnelFailed
from prism_core.gateway.choosing import first_that_works
from prism_core.gateway.disturbances import watch
from prism_core.gateway.extensions import check_available, config_of
from prism_core.gateway.notices import Notices
from prism_core.gateway.probing import Prober
from prism_core.gateway.tunnel import Surroundings, Tunnel, reason_of
from prism_core.gateway.upkeep import Patience
from prism_core.gateway.views import TunnelInfo
from prism_core.plugins import PluginSet, find
from prism_core.protocols import PublicListener
from prism_core.settings import Settings
from prism_core.specs import LinkProvider

log = structlog.get_logger("prism.links")

# What makes the public URL where `link` names a tunnel, which leads to links alone.
LOCAL = "lan"
# What is taken for the first that works.
AUTO = "auto"
# How long who shares waits for an address.
ENSURE_S = 60.0
# How long a server that starts waits for the address of its public listener.
PUBLIC_S = 10.0


class Entrances(Protocol):
    """Opens listeners for tunnels."""

    def open(self, provider: LinkProvider) -> AbstractAsyncContextManager[PublicListener]:
        """Open a listener for what ``provider`` leads in; at its end it is drained."""

    def full(self) -> bool:
        """Return whether there is room for nobody more."""


class Publishing:
    """The link providers that are wanted. Made by `open_publishing`.

    Parameters
    ----------
    settings, plugins
        What providers there are, which is meant by default, and their configuration.
    notices
        Whom to tell of what happens.
    prober
        Tries public addresses.
    patience
        How long things may take.
    server_id
        What sets this server's things apart from those of others.

    Attributes
    ----------
    wanted
        Returns the slugs of the links that have not ended, by the link provider that they go through.
    public_moved
        Called with it when it has become another one.
    republished
        How often each provider came up again after the first time.
    public_url
        The base URL of the public listener: of the provider ``link``, or of `LOCAL` where that is a tunnel.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginSet,
        notices: Notices,
        prober: Prober,
        patience: Patience = Patience(),
        server_id: str = "",
    ) -> None:
        self.providers: Mapping[str, LinkProvider] = plugins.link_providers
        self.prober = prober
        self.wanted: Callable[[], Mapping[str, Sequence[str]]] = dict
        self.public_url = f"http://127.0.0.1:{settings.port}"
        self.public_moved: Callable[[str], None] = lambda url: None
        self.republished: Counter[str] = Counter()
        self._settings = settings
        self._notices = notices
        self.patience = patience
        self._server_id = server_id
        self._tunnels: dict[str, Tunnel] = {}
        self._failed: dict[str, TunnelInfo] = {}
        self._held: Counter[str] = Counter()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._listener: PublicListener | None = None
        self._entrances: Entrances | None = None
        # Wrong settings are told before anything is open.
        self._check(settings.link)
        self.public = LOCAL if self.providers[settings.link].tunnel else settings.link
        self._check(self.public)

    def _check(self, name: str) -> None:
        provider = find(self.providers, name, "link provider")
        check_available(provider)
        config_of(provider, self._settings.plugins)

    # --- beginning and end -------------------------------------------------------------------

    async def begin(self, listener: PublicListener, entrances: Entrances | None) -> None:
        """Make the bound public listener reachable, and bring up what stored links go through."""
        self._listener, self._entrances = listener, entrances
        self.public_url = listener.url()
        await self.ensure(self.public, PUBLIC_S)
        for name in self.wanted():
            try:
                self._begin(name)
            except PrismError as error:
                log.error("link.failed", tunnel=name, reason=reason_of(error))
                self._failed[name] = TunnelInfo(name, "failed", since=time.time(), reason=reason_of(error))

    def drain(self) -> None:
        """Let nobody in any more by any tunnel; what is in flight is answered."""
        self._entrances = None
        for tunnel in self._tunnels.values():
            tunnel.stop()

    async def close(self) -> None:
        """Withdraw everything, within a bound."""
        self.drain()
        for name in tuple(self._tunnels):
            self._end(name)
        await asyncio.gather(*self._ending.values())

    async def look(self, disturbance: str = "") -> None:
        """Close what no link wants any more, and look after all others at once if something has happened."""
        for name in tuple(self._tunnels):
            await self.release(name)
        if disturbance:
            log.info("link.disturbed", reason=disturbance)
            for tunnel in self._tunnels.values():
                tunnel.disturb()

    # --- what links ask for --------------------------------------------------------------------

    @asynccontextmanager
    async def holding(self, wish: str) -> AsyncIterator[TunnelInfo]:
        """Bring up what a new link wants; it stays so while the link is being made, and with it.

        ``wish`` is as for `choose`.
        """
        info = await self.choose(wish)
        self._held[info.name] += 1
        try:
            yield info
        finally:
            self._held[info.name] -= 1
            await self.release(info.name)

    async def choose(self, wish: str = "") -> TunnelInfo:
        """Bring up a provider: by its name, "" for that of the settings, "auto" for the first that works.

        Raises
        ------
        UnknownPlugin, ConfigError
            If there is none of that name, or it cannot work here.
        TunnelFailed
            If none of ``auto`` comes up; ``details["reasons"]`` says why.
        """
        if wish != AUTO:
            return await self.ensure(wish or self._settings.link)
        return await first_that_works(self.providers.values(), self.ensure, self.release)

    async def ensure(self, name: str, within_s: float = ENSURE_S) -> TunnelInfo:
        """Open a provider if it is not; return what is known when it is up, has failed or time is over.

        Raises
        ------
        UnknownPlugin, ConfigError
            If there is none of that name, or it cannot work here.
        """
        self._held[name] += 1
        try:
            if name in self._ending:
                await asyncio.shield(self._ending[name])  # two of one name would be in each other's way
            return await self._begin(name).wanted(within_s)
        finally:
            self._held[name] -= 1

    async def release(self, name: str) -> None:
        """Close a provider, unless a link wants it still."""
        if name != self.public and not self._held[name] and not self.wanted().get(name):
            self._failed.pop(name, None)
            self._end(name)

    def _begin(self, name: str) -> Tunnel:
        if name not in self._tunnels:
            provider = find(self.providers, name, "link provider")
            check_available(provider)
            said = config_of(provider, self._settings.plugins)
            config = named(said, self._server_id, str(self._settings.data_dir.expanduser().resolve()))
            around = Surroundings(self._entrance, self.prober.ask, self._full, self._hear, self.patience)
            self._failed.pop(name, None)
            self._tunnels[name] = Tunnel(provider, config, around, self._notices.last_url(name))
        return self._tunnels[name]

    def _end(self, name: str) -> None:
        tunnel = self._tunnels.pop(name, None)
        if tunnel is not None:
            tunnel.stop()
            ending = asyncio.create_task(tunnel.ended(self._settings.limits.drain_s + 10))
            self._ending[name] = ending
            ending.add_done_callback(lambda _: self._ending.pop(name, None))

    def _entrance(self, provider: LinkProvider) -> AbstractAsyncContextManager[PublicListener]:
        if self._listener is None or self._entrances is None:
            raise TunnelFailed("This server has no listener that a link could lead to.")
        return self._entrances.open(provider) if provider.tunnel else nullcontext(self._listener)

    def _full(self) -> bool:
        return self._entrances is not None and self._entrances.full()

    # --- what is known ---------------------------------------------------------------------------

    def info(self, name: str) -> TunnelInfo:
        """Return what is known of a provider, also of one that is not open."""
        if name in self._tunnels:
            return self._tunnels[name].info
        closed = TunnelInfo(name, "down", self._notices.last_url(name), reason="No link wants it.")
        return self._failed.get(name, closed)

    def infos(self) -> list[TunnelInfo]:
        """Return what is known of all that are open, or should be, by name."""
        return [self.info(name) for name in sorted({*self._tunnels, *self._failed})]

    def _hear(self, before: TunnelInfo, now: TunnelInfo) -> None:
        if now.name == self.public and now.state == "up" and now.url != self.public_url:
            self.public_url = now.url
            self.public_moved(now.url)
        provider = self.providers[now.name]
        if now.state == "up" and before.state != "up":
            again = now.name in self.republished
            self.republished[now.name] += again
        self._notices.hear(before, now, self.wanted().get(now.name, ()), tunnel=provider.tunnel)


@asynccontextmanager
async def open_publishing(
    settings: Settings, plugins: PluginSet, notices: Notices, server_id: str
) -> AsyncIterator[Publishing]:
    """Be ready to publish; what was published is withdrawn at the end.

    Raises
    ------
    UnknownPlugin, ConfigError
        If the link provider that the settings name is not there, or cannot work here.
    """
    prober = Prober(settings.links.ca)
    publishing = Publishing(settings, plugins, notices, prober, server_id=server_id)
    watching = asyncio.create_task(watch(publishing.look))
    try:
        yield publishing
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await publishing.close()
        await prober.close()
