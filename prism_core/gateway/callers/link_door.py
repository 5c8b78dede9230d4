"""The door of links: the link's token opens it, whatever the server asks of others.

Who stands before it has named a link, ``~SLUG``; behind it, that is the link's model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from prism_core.errors import Forbidden, PrismError, Unauthorized
from prism_core.gateway.callers.door import Addresses, Door, Entry, Limiter
from prism_core.gateway.callers.link import MARK, Link
from prism_core.gateway.callers.link_table import Held, LinkTable, shown
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.askable import Askable
from prism_core.specs import Call, Caller, scope_of


@attrs.frozen
class Looking:
    """Who looks at a link's page.

    Parameters
    ----------
    link
        The link.
    caller
        Who looks; None where nothing, or something wrong, was shown: then neither the model's name
        nor what it takes may be told.
    lines
        Header lines for the answer.
    """

    link: Link
    caller: Caller | None
    lines: bytes = b""


class LinkDoor(Door):
    """Lets in who shows what opens a link. Asks in the order of `Door`.

    Parameters
    ----------
    table
        Knows the links.
    limiter
        Counts what was used of them.
    addresses, guards, refused
        As for `Door`.
    """

    limiter: Limiter

    def __init__(
        self,
        table: LinkTable,
        limiter: Limiter,
        *,
        addresses: Addresses | None = None,
        guards: Iterable[Any] = (),
        refused: Counter[str] | None = None,
    ) -> None:
        super().__init__(addresses=addresses, limiter=limiter, guards=guards, refused=refused)
        self.table = table

    def at(self, addresses: Addresses | None) -> LinkDoor:
        """Return this door on another listener, where others tell addresses."""
        return LinkDoor(
            self.table, self.limiter, addresses=addresses, guards=self.guards, refused=self.refused
        )

    def _enter(
        self, model: str, verb: str, headers: Mapping[str, str], client: str, body_bytes: int
    ) -> Entry:
        if self.addresses is not None:
            client = self.addresses.of(client, headers)
        lines = self.limiter.knock(client)
        # What the last use has answered can be judged, too.
        held = self.table.enter(model.removeprefix(MARK), headers, counts=verb != "judge")
        if scope_of(verb) not in held.caller.scopes:
            raise Forbidden(f"This link may not {verb}.", hint="Its owner has left that out.")
        call = Call(held.link.model, verb, headers, client, body_bytes, held.caller)
        lines += self.limiter.admit(call)
        for guard in self.guards:
            guard.check(call)
        return Entry(call, lines)

    def knock(self, slug: str, headers: Mapping[str, str], client: str) -> tuple[Held, bytes]:
        """Let a request see that there is a link, which has not ended; it may show nothing.

        Raises
        ------
        LinkNotFound, LinkExpired, Forbidden, RateLimited
            If it may not.
        """
        if self.addresses is not None:
            client = self.addresses.of(client, headers)
        try:
            lines = self.limiter.knock(client)
            return self.table.open(slug, headers), lines
        except PrismError as error:
            self.count(error)
            raise

    def look(self, slug: str, headers: Mapping[str, str], client: str) -> Looking:
        """Return who looks at a page; raises as `knock` does."""
        held, lines = self.knock(slug, headers, client)
        try:
            self.table.check_shown(held, shown(headers))
        except Unauthorized:
            return Looking(held.link, None, lines)
        return Looking(held.link, held.caller, lines)


class LinkService(PredictService):
    """The one door for predictions, for references of links."""

    def __init__(self, service: PredictService, table: LinkTable) -> None:
        self._service = service
        self._table = table

    def meant(self, reference: str) -> str:
        """Return the reference that a link leads to, "" where there is no such link."""
        held = self._table.held.get(reference.removeprefix(MARK))
        return held.link.model if held else ""

    def lane(self, reference: str) -> Askable:
        """Return the lane of a link's model, or its route."""
        return self._service.lane(self._table.find(reference.removeprefix(MARK)).link.model)
