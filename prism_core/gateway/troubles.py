"""The replicas of one version that fail while others of it answer: left out for a pause, then tried.

A replica can be at fault by itself: a file of its own is gone, its memory is full, its thread hangs. Five
failures in a row, while another replica's last answer was good, open its circuit: it gets nothing. After a
pause it is tried with a copy of a request that another one answers, so that nobody waits for the trial or
sees it fail. While that fails too, the pause doubles. The last replica is never left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs

from prism_core import wire
from prism_core.errors import DeadlineExceeded, InternalError, ModelFailed
from prism_core.gateway.breaker import Breaker, Circuit
from prism_core.traffic.circuit import CircuitPolicy

if TYPE_CHECKING:
    from prism_core.gateway.client import ReplicaClient
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.prediction import Head

# What may be the replica's own fault. One that is lost is replaced by whoever started it.
FAULTS = (DeadlineExceeded, InternalError, ModelFailed, TimeoutError)
POLICY = CircuitPolicy()

# Hears of each new state of a replica's circuit; None: the replica has gone.
Moved = Callable[["Lane", "ReplicaClient", Circuit | None], None]


def untold(lane: Lane, client: ReplicaClient, state: Circuit | None) -> None:
    """Hear of a circuit, and tell nobody."""


@attrs.define(eq=False)
class Trouble:
    """What is wrong with a replica: its failures in a row, and its circuit once that is open."""

    faults: int = 0
    breaker: Breaker | None = None


class Troubles(dict["ReplicaClient", Trouble]):
    """The replicas of a lane whose last answer was a failure; empty while all is well.

    Attributes
    ----------
    moved
        Hears of circuits.
    """

    def __init__(self, lane: Lane, moved: Moved) -> None:
        super().__init__()
        self.moved = moved
        self._lane = lane

    def answered(self, client: ReplicaClient | None) -> None:
        """Hear that a replica has answered well."""
        trouble = self.get(client) if client is not None else None
        # Of one that is left out it is the answer to an old question; it is tried anew.
        if client is not None and trouble is not None and trouble.breaker is None:
            del self[client]

    def failed(self, client: ReplicaClient | None, failure: object) -> None:
        """Hear that a replica has failed."""
        if client is None or not isinstance(failure, FAULTS) or client not in self._lane.clients:
            return
        trouble = self.setdefault(client, Trouble())
        trouble.faults += 1
        if trouble.faults >= POLICY.failures and self._others_answer():
            self._leave_out(client, trouble)

    def removed(self, client: ReplicaClient) -> None:
        """Hear that a replica gets nothing any more."""
        trouble = self.pop(client, None)
        if trouble is not None and trouble.breaker is not None:
            self.moved(self._lane, client, None)
        self.spare()

    def spare(self) -> None:
        """Take all back that are left out, if no other is there."""
        if not self._lane.clients:
            for client, trouble in tuple(self.items()):
                if trouble.breaker is not None:
                    self._take_back(client)

    @property
    def left_out(self) -> tuple[ReplicaClient, ...]:
        """Those that get nothing now."""
        return tuple(client for client, trouble in self.items() if trouble.breaker is not None)

    # --- left out, and tried -----------------------------------------------------------

    def try_again(self, head: Head, body: bytes | memoryview, timeout_s: float, request: str) -> None:
        """Ask those whose pause is over what somebody else is asked, too."""
        now = time.monotonic()
        for client, trouble in tuple(self.items()):
            breaker = trouble.breaker
            if breaker is not None and breaker.allows(now):
                client.ask(head, bytes(body), timeout_s, partial(self._tried, client, breaker), request)
                self.moved(self._lane, client, Circuit.HALF_OPEN)

    def _tried(
        self, client: ReplicaClient, breaker: Breaker, reply: wire.AnyFrame | Exception, body: memoryview
    ) -> None:
        trouble = self.get(client)
        if trouble is None or trouble.breaker is not breaker:
            return  # it has gone, or was needed
        if type(reply) is wire.Reply:
            self._take_back(client)
        elif isinstance(reply, FAULTS):
            breaker.failed(time.monotonic())
            self.moved(self._lane, client, Circuit.OPEN)
        # Anything else says nothing of it, and after the pause another request is copied.

    def _others_answer(self) -> bool:
        return any(one not in self for one in self._lane.clients)

    def _leave_out(self, client: ReplicaClient, trouble: Trouble) -> None:
        trouble.breaker = Breaker(1, POLICY.pause_s, POLICY.longest_s)
        trouble.breaker.failed(time.monotonic())
        self._lane.clients = tuple(one for one in self._lane.clients if one is not client)
        self.moved(self._lane, client, Circuit.OPEN)

    def _take_back(self, client: ReplicaClient) -> None:
        del self[client]
        self.moved(self._lane, client, Circuit.CLOSED)
        self._lane.add(client)
