"""How many connections there is room for, and which of them must go when there is none.

A connection costs a descriptor, and so does everything that keeps a model alive: without
some in reserve a crowd on the public port would keep a replica from being restarted.
"""

from __future__ import annotations

import heapq
import resource
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

import attrs
import structlog

log = structlog.get_logger(__name__)

# Descriptors for replicas, uploads, the database and the admin listener, at most; a quarter
# of what there is where that is less.
RESERVE = 1024
# When room is made, so much of what is idle goes: looking for it takes longer than closing it.
SHARE = 0.02


@attrs.frozen
class Plan:
    """How many connections the listeners of one process take."""

    public: int
    admin: int


def plan(asked: int, descriptors: int) -> Plan:
    """Return how many connections ``descriptors`` allow where ``asked`` public ones are wanted."""
    reserve = min(RESERVE, descriptors // 4)
    return Plan(max(1, min(asked, descriptors - reserve)), max(1, min(256, reserve // 4)))


def connections(asked: int) -> Plan:
    """Let this process open what ``asked`` connections take, as far as the system lets it."""
    possible = plan(asked, _raised(asked + RESERVE))
    if possible.public < asked:
        hint = "`ulimit -n` bounds what a process may open."
        log.info("server.connections", asked=asked, possible=possible.public, hint=hint)
    return possible


def _raised(wanted: int) -> int:
    """Raise the bound of this process on descriptors to ``wanted``, if it may; return the bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a bound of its own below "infinity"
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


class Guest(Protocol):
    """A connection, as far as room is concerned."""

    @property
    def idle_since(self) -> float | None:
        """Since when it has nothing to do, None where it has."""

    def leave(self) -> None:
        """Close it."""


class Room:
    """The connections of one kind in this process.

    Parameters
    ----------
    limit
        How many there may be.

    Attributes
    ----------
    guests
        Those that there are: a set for each listener, kept by whoever serves there.
    arriving
        Those that agree on keys, or will be there in a moment; some may be there already.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.guests: list[set[Any]] = []
        self.arriving: set[Any] = set()

    def forget(self, guests: set[Any]) -> None:
        """Count those of a listener that is closed no longer."""
        self.guests = [one for one in self.guests if one is not guests]

    @property
    def full(self) -> bool:
        """Whether there is room for none more."""
        count = len(self.arriving) + sum(map(len, self.guests))
        if count < self.limit:
            return False
        both = sum(any(one in guests for guests in self.guests) for one in self.arriving)
        return count - both >= self.limit

    def make(self) -> bool:
        """Close those that have been idle for longest; return whether there was any."""
        idle = [(since, id(one), one) for one in self._all() if (since := one.idle_since) is not None]
        for _, _, guest in heapq.nsmallest(max(1, int(len(idle) * SHARE)), idle):
            guest.leave()
        return bool(idle)

    def _all(self) -> Iterable[Guest]:
        return (guest for guests in self.guests for guest in guests)
