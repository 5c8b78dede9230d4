"""The links that are valid now, and who shows what opens one. Looked up for every request of a link."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from prism_core.errors import Forbidden, LinkExpired, LinkNotFound, Unauthorized
from prism_core.gateway.callers import sessions
from prism_core.gateway.callers.link import Link, digest_of
from prism_core.gateway.callers.origins import ANY
from prism_core.rates import Rate
from prism_core.specs import Caller

# Cookies of that name that are looked at: another page of the same host may have set some.
_COOKIES = 4
_COOKIE = re.compile(rf"(?:^|[;,]\s*){sessions.COOKIE}=({sessions.PREFIX}[0-9a-f_]{{1,99}})(?=\s*(?:[;,]|$))")


_ENDS = {
    "expired": "This link has expired.",
    "used_up": "This link has been used as often as it may be.",
}


class Uses(Protocol):
    """Knows what callers have used in all."""

    def spent(self, caller: str) -> int:
        """Return what a caller has used."""


@attrs.frozen
class Held:
    """A link, and what its holder is at the door."""

    link: Link
    caller: Caller
    key: bytes
    origins: frozenset[str]


class LinkTable:
    """All links by their slugs, replaced whole.

    Parameters
    ----------
    uses
        What was used of links.
    clock
        Unix seconds.

    Attributes
    ----------
    held
        By slug.
    used
        Slugs of links that were used since somebody last took them.
    homes
        Origins under which this server's own pages are reached, beside the host that a request names.
    """

    def __init__(
        self,
        links: Iterable[Link] = (),
        *,
        uses: Uses,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.used: set[str] = set()
        self.homes: Callable[[], Iterable[str]] = tuple
        self._uses = uses
        self._rate: Rate | None = None
        self._clock = clock
        self.held: dict[str, Held] = {}
        self.replace(links)

    def replace(self, links: Iterable[Link]) -> None:
        """Let exactly ``links`` be valid from now on."""
        before = self.held
        self.held = {link.slug: self._held(link, before.get(link.slug)) for link in links}

    def limit(self, rate: Rate | None) -> None:
        """Let links be asked so often that have no rate of their own."""
        links, self.held = self.links, {}
        self._rate = rate
        self.replace(links)

    @property
    def links(self) -> list[Link]:
        """All links."""
        return [held.link for held in self.held.values()]

    def __contains__(self, slug: str) -> bool:
        return slug in self.held

    def take_used(self) -> set[str]:
        """Return the slugs of links that were used since this was last asked."""
        used, self.used = self.used, set()
        return used

    def find(self, slug: str) -> Held:
        """Return a link that there is.

        Raises
        ------
        LinkNotFound
            If there is none.
        """
        held = self.held.get(slug)
        if held is None:
            raise LinkNotFound("There is no such link.", hint="Its address is mistyped, or it was revoked.")
        return held

    def open(self, slug: str, headers: Mapping[str, str], *, counts: bool = True) -> Held:
        """Return a link that has not ended, and may be asked by the page that asks.

        Without ``counts`` also one whose uses are over.

        Raises
        ------
        LinkNotFound, LinkExpired, Forbidden
            If it is not so.
        """
        held = self.find(slug)
        if counts or self.has_ended(held) != "used_up":
            self.check_end(held)
        if (origin := headers.get("origin")) is not None and not self._welcome(held, origin, headers):
            raise Forbidden(
                "Pages of this origin may not use this link.", hint="Its owner names origins with --origin."
            )
        return held

    def has_ended(self, held: Held) -> str:
        """Return why a link has ended: "expired" or "used_up", "" where it has not."""
        link = held.link
        if link.expires and link.expires <= self._clock():
            return "expired"
        return "used_up" if link.uses and self._uses.spent(held.caller.id) >= link.uses else ""

    def check_end(self, held: Held) -> None:
        """Raise `LinkExpired` if a link has ended."""
        if reason := self.has_ended(held):
            raise LinkExpired(_ENDS[reason], hint="Ask its owner for a new one.", details={"reason": reason})

    def enter(self, slug: str, headers: Mapping[str, str], *, counts: bool = True) -> Held:
        """Return the link whose token or session a request shows; ``counts`` as for `open`.

        Raises
        ------
        LinkNotFound, LinkExpired, Forbidden, Unauthorized
            If there is none, it has ended, the page may not, or what is shown does not open it.
        """
        held = self.open(slug, headers, counts=counts)
        self.check_shown(held, shown(headers))
        self.used.add(slug)
        return held

    def check_shown(self, held: Held, texts: Iterable[str]) -> None:
        """Raise `Unauthorized` unless one of ``texts`` opens a link."""
        wrong = False
        for text in texts:
            if text.startswith(sessions.PREFIX):
                if sessions.is_valid(held.key, text, self._clock()):
                    return
            elif self.is_token(held, text):
                if not held.link.password:
                    return
                raise Unauthorized(
                    "This link asks for its password, too.",
                    hint="POST its token and its password to /open, and send the session that this answers.",
                    details={"password": True},
                )
            wrong = True
        if wrong:
            raise Unauthorized("This is not what opens this link.", hint="It is mistyped, or has ended.")
        raise Unauthorized(
            "This link asks for its token.",
            hint="Send `Authorization: Bearer TOKEN` or `X-Prism-Token: TOKEN`.",
        )

    def is_token(self, held: Held, text: str) -> bool:
        """Return whether ``text`` is a link's token."""
        return hmac.compare_digest(digest_of(text), held.link.digest)

    def _held(self, link: Link, before: Held | None) -> Held:
        if before is not None and before.link == link:
            return before  # a thousand others need not be made anew for each that comes
        return Held(link, link.caller(self._rate), sessions.key_of(link), frozenset(link.origins))

    def _welcome(self, held: Held, origin: str, headers: Mapping[str, str]) -> bool:
        """Return whether a page of ``origin`` may use a link: its own page, and those that it names."""
        if origin in held.origins or ANY in held.origins:
            return True
        scheme, _, host = origin.partition("://")
        own = scheme in ("http", "https") and host.lower() == headers.get("host", "").lower()
        return (own and bool(host)) or origin in self.homes()


def shown(headers: Mapping[str, str]) -> list[str]:
    """Return what a request shows as its token or session, the most particular first.

    Headers only: a URL is written into logs, histories and Referer headers on its way.
    """
    token = headers.get("x-prism-token")
    if token is not None:
        return [token.strip()]
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [rest.strip()]
    return _COOKIE.findall(headers.get("cookie", ""))[:_COOKIES]
