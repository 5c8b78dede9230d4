"""Keep one link provider's address up: publish, probe, notice its end, publish again.

All of it happens in one task, which nobody waits for: a provider that hangs holds up itself.
What is to be done when is decided in `prism_core.gateway.upkeep`.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import attrs
import structlog

from prism_core.errors import ConfigError, PrismError, TunnelFailed, TunnelRefused
from prism_core.gateway.upkeep import Patience, Vigil, lost, reached, refused, tried, up
from prism_core.gateway.views import TunnelInfo
from prism_core.protocols import Breaks, Linker, PublicListener
from prism_core.specs import LinkProvider

log = structlog.get_logger("prism.links")


@attrs.frozen
class Surroundings:
    """What a tunnel needs of the server.

    Parameters
    ----------
    entrance
        Opens the listener that a provider leads to.
    probe
        Returns "" if this server answers under a base URL, else why not.
    full
        Whether so many are here that a probe may not get in.
    heard
        Told when what is known of a tunnel has changed: before, and now.
    patience
        How long things may take.
    """

    entrance: Callable[[LinkProvider], AbstractAsyncContextManager[PublicListener]]
    probe: Callable[[str], Any]
    full: Callable[[], bool]
    heard: Callable[[TunnelInfo, TunnelInfo], None]
    patience: Patience = Patience()


class Tunnel:
    """One link provider that is wanted.

    Parameters
    ----------
    provider, config
        Its record, and what the settings say for it.
    around
        What it needs.
    url
        The base URL that it had last, as far as that is known.

    Attributes
    ----------
    info
        What is known of it.
    """

    def __init__(self, provider: LinkProvider, config: Any, around: Surroundings, url: str = "") -> None:
        self.provider = provider
        self.info = TunnelInfo(provider.name, "connecting", url, since=time.time())
        self._config = config
        self._around = around
        self._patience = around.patience
        self._failures = 0
        self._up_at: float | None = None
        self._open: tuple[Linker, PublicListener] | None = None
        self._deadline: asyncio.Timeout | None = None
        self._wake = asyncio.Event()
        self._wanted_anew = asyncio.Event()
        self._outcome = asyncio.Event()
        self._stopping = asyncio.Event()
        # In a context of its own: it lives longer than the request that wants it, and is nobody's deed.
        self._task = asyncio.create_task(
            self._live(), name=f"tunnel {provider.name}", context=contextvars.Context()
        )

    # --- what is asked of it ---------------------------------------------------------------

    async def wanted(self, within_s: float) -> TunnelInfo:
        """Return what came of the next try, at once where it is up, or what is known after ``within_s``."""
        if self.info.state != "up":
            self._outcome.clear()
            self._wanted_anew.set()
            self._wake.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._outcome.wait()
        return self.info

    def disturb(self) -> None:
        """Look after it at once: something may have ended it, or what kept it down is over."""
        self._wake.set()

    def stop(self) -> None:
        """Begin to end: no more is let in, what is in flight is answered, then it is withdrawn."""
        for event in (self._stopping, self._wake, self._wanted_anew):
            event.set()
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(0.0)

    async def ended(self, within_s: float) -> None:
        """Wait until it has ended after `stop`; give it up after ``within_s``."""
        await asyncio.wait({self._task}, timeout=within_s)
        if not self._task.done():
            log.warning("link.abandoned", tunnel=self.provider.name, within_s=within_s)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)

    # --- its life ---------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                while not self._stopping.is_set():
                    await self._try(stack)
        except Exception:  # what a provider does at its end is its own affair
            log.exception("link.close_failed", tunnel=self.provider.name)

    async def _try(self, stack: AsyncExitStack) -> None:
        """Bring it up and keep it so until it ends, then wait as long as its end demands."""
        self._tell(tried(self.info, time.time()))
        try:
            await self._once(stack)
        except Exception as error:
            if self._stopping.is_set():
                return
            ended = self._give_up if isinstance(error, TunnelRefused | ConfigError) else self._lose
            await ended(error)

    async def _once(self, stack: AsyncExitStack) -> None:
        if self._open is None:
            self._open = await self._enter(stack)
        linker, listener = self._open
        self._wake.clear()
        async with self._within(self._patience.publish_s, "Publishing"):
            url = base_url(await linker.publish(listener))
        broken = asyncio.ensure_future(linker.broken()) if isinstance(linker, Breaks) else None
        try:
            await self._watch(linker, url, broken)
        finally:
            if broken is not None:
                broken.cancel()
                await asyncio.gather(broken, return_exceptions=True)

    async def _enter(self, stack: AsyncExitStack) -> tuple[Linker, PublicListener]:
        """Open the provider and its listener, which is closed first: answers still go out by the tunnel."""
        async with AsyncExitStack() as own:
            async with self._within(self._patience.publish_s, "Opening it"):
                open_provider: Callable[..., Any] = self.provider.open
                linker = await own.enter_async_context(open_provider(self._config))
            own.push_async_callback(self._withdraw, linker)
            listener = await own.enter_async_context(self._around.entrance(self.provider))
            stack.push_async_exit(own.pop_all())
        return linker, listener

    async def _watch(self, linker: Linker, url: str, broken: asyncio.Future[str] | None) -> None:
        """Return when it is to be published again; raise `TunnelFailed` when it is gone."""
        loop = asyncio.get_running_loop()
        vigil = Vigil(self._patience, loop.time(), notices=broken is not None)
        while not self._stopping.is_set():
            reason = await self._checked(linker, url, broken)
            vigil = vigil.heard(not reason or (vigil.answered and self._around.full()), loop.time())
            if vigil.over:
                raise TunnelFailed(reason)
            if not reason and (self.info.state, self.info.url) != ("up", url):
                self._come_up(url)
            await self._rest(vigil.wait_s, broken)
            if self._wake.is_set() and not self.provider.tunnel:
                await self._withdraw(linker)  # another network may be another address
                return
            self._wake.clear()

    async def _checked(self, linker: Linker, url: str, broken: asyncio.Future[str] | None) -> str:
        """Return what `_check` does; raise `TunnelFailed` when the provider says sooner that it is gone."""
        checking = asyncio.ensure_future(self._check(linker, url))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            some: set[asyncio.Future[Any]] = {checking, stopping, *([broken] if broken else [])}
            await asyncio.wait(some, return_when=asyncio.FIRST_COMPLETED)
            raise_if(broken)
            return checking.result() if checking.done() else ""
        finally:
            for waiting in (checking, stopping):
                waiting.cancel()
            await asyncio.gather(checking, stopping, return_exceptions=True)

    async def _check(self, linker: Linker, url: str) -> str:
        """Return "" if it works, else why not: a tunnel is tried, other providers are asked."""
        if self.provider.tunnel:
            return str(await self._around.probe(url))
        async with asyncio.timeout(self._patience.health_s):
            return await linker.health()

    async def _rest(self, seconds: float, broken: asyncio.Future[str] | None = None) -> None:
        """Wait until it is to be looked after; raise `TunnelFailed` when its provider says so."""
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            some: set[asyncio.Future[Any]] = {woken, *([broken] if broken else [])}
            await asyncio.wait(some, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            raise_if(broken)
        finally:
            woken.cancel()

    # --- its ends -----------------------------------------------------------------------------

    def _come_up(self, url: str) -> None:
        self._up_at = asyncio.get_running_loop().time()
        self._tell(up(self.info, url, time.time()))
        self._outcome.set()

    async def _lose(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        up_s = now - self._up_at if self._up_at is not None else 0.0
        self._failures = self._patience.failures(self._failures, up_s)
        await self._end(lost(self.info, reason_of(error), time.time()))
        delay_s = self._patience.delay_s(self._failures, random.random(), reached=reached(error))
        if delay_s:
            await self._rest(delay_s)

    async def _give_up(self, error: Exception) -> None:
        self._wanted_anew.clear()
        await self._end(refused(self.info, reason_of(error), time.time()))
        await self._wanted_anew.wait()
        self._failures = 0

    async def _end(self, info: TunnelInfo) -> None:
        self._up_at = None
        self._tell(info)
        self._outcome.set()
        if self._open is not None:
            await self._withdraw(self._open[0])

    async def _withdraw(self, linker: Linker) -> None:
        try:
            async with asyncio.timeout(self._patience.withdraw_s):
                await linker.withdraw()
        except Exception as error:  # it is gone for us anyway
            log.warning("link.withdraw_failed", tunnel=self.provider.name, reason=reason_of(error))

    def _tell(self, info: TunnelInfo) -> None:
        before, self.info = self.info, info
        self._around.heard(before, info)

    @asynccontextmanager
    async def _within(self, seconds: float, what: str) -> AsyncIterator[None]:
        """Bound what a provider does; `stop` ends it at once."""
        try:
            async with asyncio.timeout(0.0 if self._stopping.is_set() else seconds) as self._deadline:
                yield
        except TimeoutError:
            if self._deadline is None or not self._deadline.expired():
                raise  # it is the provider's own
            raise TunnelFailed(f"{what} took more than {seconds:g} s.") from None
        finally:
            self._deadline = None


def raise_if(broken: asyncio.Future[str] | None) -> None:
    """Raise `TunnelFailed` if a provider has said that what it published is gone."""
    if broken is not None and broken.done():
        raise TunnelFailed(broken.result())


def base_url(url: str) -> str:
    """Return a base URL without a slash at its end.

    Raises
    ------
    TunnelFailed
        If it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise TunnelFailed(f"It was published as {url!r}, which is no base URL.")
    return url.rstrip("/")


def reason_of(error: BaseException) -> str:
    """Return an error as a sentence, and what to do where that is known."""
    if isinstance(error, PrismError):
        return f"{error.message} {error.hint}".rstrip()
    if isinstance(error, TimeoutError):
        return "It did not answer in time."
    return f"{type(error).__name__}: {error}"
