"""The links of a server, in its leading gateway: made, listed, revoked.

As with keys: a change is stored, then valid here, then in every follower, and only then
reported done. A link that was revoked opens nothing any more, on no connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import msgspec

from prism_core.errors import InvalidParameter, LinkNotFound, UnknownPlugin
from prism_core.gateway.auditing import Audit
from prism_core.gateway.callers.link import Link, LinkWish, caller_id, new_link
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.usage import Usage
from prism_core.gateway.channel import Links as ValidLinks
from prism_core.gateway.followers import Followers
from prism_core.gateway.records import Records
from prism_core.gateway.views import TunnelInfo

# What the audit log says of a new link.
_TOLD = ("model", "verbs", "rate", "uses", "expires", "origins", "tunnel", "page")


class Publishing(Protocol):
    """Makes links reachable."""

    def holding(self, wish: str) -> AbstractAsyncContextManager[TunnelInfo]:
        """Bring up the link provider that a new link wants, and keep it while the link is made.

        ``wish`` is its name, "" for the server's own, "auto" for the first that works.

        Raises
        ------
        UnknownPlugin, ConfigError
            If there is none of that name, or it cannot work here.
        TunnelFailed
            If none of ``auto`` comes up.
        """

    def info(self, name: str) -> TunnelInfo:
        """Return how links are reached through a provider."""

    async def release(self, name: str) -> None:
        """Close a provider, unless a link wants it still."""


class Links:
    """All links.

    Attributes
    ----------
    table
        Recognises the holders of links.
    """

    def __init__(
        self,
        records: Records,
        followers: Followers,
        audit: Audit,
        links: Iterable[Link],
        usage: Usage,
        publishing: Publishing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.table = LinkTable(links, uses=usage.tally, clock=clock)
        self._records = records
        self._followers = followers
        self._audit = audit
        self._usage = usage
        self._publishing = publishing
        self._clock = clock
        self.table.homes = self._homes
        self._tunnels = {link.tunnel for link in self.table.links}
        usage.watch("link", self.table)
        followers.greetings.append(lambda: ValidLinks(self.table.links))

    async def create(self, wish: LinkWish) -> tuple[dict[str, Any], str]:
        """Make a link; return what `list` shows of it, and its token.

        Raises
        ------
        InvalidParameter
            If there cannot be such a link.
        ConfigError, TunnelFailed
            If it cannot be reached as wished.
        """
        link, token = await asyncio.to_thread(new_link, wish, self._clock(), self.table.held)
        async with self._holding(wish.tunnel) as tunnel:
            link = msgspec.structs.replace(link, tunnel=tunnel.name)
            facts = {name: getattr(link, name) for name in _TOLD}
            async with self._audit.acting("link.create", link.slug, password=bool(link.password), **facts):
                await self._records.add_link(link)
                await self._now_valid([*self.table.links, link])
        return self._shown(link), token

    @asynccontextmanager
    async def _holding(self, wish: str) -> AsyncIterator[TunnelInfo]:
        async with AsyncExitStack() as stack:
            try:
                tunnel = await stack.enter_async_context(self._publishing.holding(wish))
            except UnknownPlugin as error:  # it is the wish that is wrong, and not the server
                raise InvalidParameter(error.message, hint=error.hint) from error
            yield tunnel

    async def revoke(self, slug: str) -> dict[str, Any]:
        """Let a link open nothing any more, anywhere; return what it was.

        Raises
        ------
        LinkNotFound
            If there is no such link.
        """
        held = self.table.held.get(slug)
        if held is None:
            raise LinkNotFound(f"There is no link {slug!r}.", hint="`prism links` shows all.")
        self._usage.note()
        shown = self._shown(held.link)
        async with self._audit.acting("link.revoke", slug, model=held.link.model):
            await self._records.remove_link(slug)
            await self._now_valid([link for link in self.table.links if link.slug != slug])
        self._usage.forget(caller_id(slug))
        await self._publishing.release(held.link.tunnel)
        return shown

    def wanted(self) -> dict[str, list[str]]:
        """Return the slugs of the links that have not ended, by the link provider that they go through."""
        wanted: dict[str, list[str]] = {}
        for held in self.table.held.values():
            if not self.table.has_ended(held):
                wanted.setdefault(held.link.tunnel, []).append(held.link.slug)
        return wanted

    def used(self, link: Link) -> int:
        """Return how many predictions a link has had."""
        return self._usage.tally.spent(caller_id(link.slug))

    def url_of(self, link: Link) -> str:
        """Return the present address of a link's page, the last known while it has none, "" before."""
        base = self._publishing.info(link.tunnel).url
        return f"{base}/s/{link.slug}" if base else ""

    def _homes(self) -> set[str]:
        """Return the origins under which the pages of links are reached."""
        bases = [self._publishing.info(tunnel).url for tunnel in self._tunnels]
        return {"/".join(base.split("/", 3)[:3]) for base in bases if base}

    async def _now_valid(self, links: Iterable[Link]) -> None:
        self.table.replace(links)
        self._tunnels = {link.tunnel for link in self.table.links}
        self._followers.tell(ValidLinks(self.table.links))
        await self._followers.agree()

    def _shown(self, link: Link) -> dict[str, Any]:
        caller, tunnel = caller_id(link.slug), self._publishing.info(link.tunnel)
        url = self.url_of(link)
        return {
            "slug": link.slug,
            "model": link.model,
            "verbs": link.verbs,
            "rate": link.rate or None,
            "uses": link.uses or None,
            "used": self.used(link),
            "origins": link.origins,
            "password": bool(link.password),
            "page": link.page,
            "tunnel": link.tunnel,
            "note": link.note,
            "created": link.created,
            "expires": link.expires or None,
            "expired": bool(link.expires) and link.expires <= self._clock(),
            "last_used": self._usage.last_used.get(caller),
            "url": url,
            "predict_url": url and f"{url}/predict",
            "state": tunnel.state,
            "reason": tunnel.reason,
        }

    def list(self) -> list[dict[str, Any]]:
        """Return all links as they are shown, the oldest first."""
        self._usage.note()
        return [self._shown(link) for link in sorted(self.table.links, key=lambda link: link.created)]
