"""Who publishes which name now. One event loop, no I/O."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import attrs


class Publishes(Protocol):
    """The connection of a laptop, as the table knows it."""

    client: str
    instance: str

    def end(self, reason: str) -> None:
        """End it at once, and everything that goes over it."""


_numbers = itertools.count(1)


@attrs.define(eq=False)
class Publication:
    """A name that a laptop publishes.

    ``port`` is the one that it asked for, which its side knows the name by.
    """

    name: str
    port: int
    publisher: Any
    number: int = attrs.field(factory=lambda: next(_numbers))


class Table:
    """Names and their publications; a name has one at a time."""

    def __init__(self) -> None:
        self._names: dict[str, Publication] = {}
        # Of each connection, what it publishes.
        self._of: defaultdict[Any, dict[str, Publication]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Publication]:
        return iter(list(self._names.values()))

    def find(self, name: str) -> Publication | None:
        """Return who publishes the name now."""
        return self._names.get(name)

    def of(self, publisher: Publishes) -> list[Publication]:
        """Return what a connection publishes."""
        return list(self._of.get(publisher, {}).values())

    def count(self, client: str) -> int:
        """Return how many names a client publishes."""
        return sum(len(names) for one, names in self._of.items() if one.client == client)

    def drop(self, publication: Publication) -> None:
        """Forget a publication; nothing happens where the name is another's by now."""
        if self._names.get(publication.name) is publication:
            del self._names[publication.name]
            names = self._of[publication.publisher]
            del names[publication.name]
            if not names:
                del self._of[publication.publisher]

    async def take(self, new: Publication, alive: Callable[[Publication], Awaitable[bool]]) -> str:
        """Give a name to a new publication, and return "", or why that must not be.

        A client's laptop that comes again takes its name from its old connection, of which the relay
        may not know yet that it is dead. The same laptop (``instance``) is believed; for another one, or one
        that does not say, the old connection is asked first: ``alive`` returns whether it answers.
        """
        while (old := self._names.get(new.name)) is not None:
            if old.publisher is new.publisher:
                break
            if old.publisher.client != new.publisher.client:
                return f"The name {new.name!r} is in use by another client."
            same = bool(new.publisher.instance) and old.publisher.instance == new.publisher.instance
            if not same and await alive(old):
                return f"The name {new.name!r} is in use by another connection of this client."
            self._taken(old)
        self._names[new.name] = self._of[new.publisher][new.name] = new
        return ""

    def _taken(self, old: Publication) -> None:
        if self._names.get(old.name) is old:
            for one in self.of(old.publisher):
                self.drop(one)
            old.publisher.end(f"The name {old.name!r} was taken over by a newer connection.")
