"""One served version: its cache, its replicas, its deadline.

A lane is found by one dict look-up and knows nothing of names, HTTP or processes; the
supervisor adds and removes its replicas. The way of one call through it is `asking`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from prism_core import wire
from prism_core.errors import ModelNotFound, PrismError, ServingError
from prism_core.gateway.asking import Asking
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.crowd import Crowd
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import answered
from prism_core.gateway.traffic.sender import AskSender, nobody
from prism_core.gateway.trials import Trials
from prism_core.gateway.troubles import Moved, Troubles, untold
from prism_core.manifest import Manifest
from prism_core.specs import CallRecord
from prism_core.types import Signature

__all__ = ["Head", "Lane", "Prediction", "signature_of"]


class Waits(Protocol):
    """What waits for a replica of a lane, in `Lane.waiting`."""

    def resume(self) -> None:
        """Go on: one came, or the lane was closed."""

    def refuse(self, error: PrismError) -> None:
        """Hear that none comes."""


class Lane:
    """The way of a prediction to one version.

    Parameters
    ----------
    manifest, signature
        What is served.
    cache
        None where nothing is kept. A model that is not deterministic has no use for one.
    record
        Called with a `CallRecord` for every answer; must be quick and must not raise.
    hold_s
        How long a call may wait while the version is loaded, where it does not say itself.
    moved
        Hears of the circuits of its replicas.

    Attributes
    ----------
    in_flight
        Calls that have begun and not ended.
    crowd
        How many of them there may be.
    waiting
        Those of them that wait for a replica, the longest waiting first.
    trials
        Those of them that are to be asked alone.
    troubles
        The replicas that fail while others answer.
    wake
        Called when a call finds no replica; whoever unloads replicas sets it.
    load_s
        How long the version took to load the last time.
    refusal
        Why nothing is taken any more, None while the lane is open.
    """

    def __init__(
        self,
        manifest: Manifest,
        signature: Signature,
        *,
        cache: AnswerCache | None,
        record: Callable[[CallRecord], None],
        hold_s: float = math.inf,
        moved: Moved = untold,
    ) -> None:
        self.manifest = manifest
        self.signature = signature
        self.model, self.version = manifest.model, manifest.version
        self.deterministic = manifest.deterministic and signature.deterministic
        self.cache = cache if self.deterministic else None
        self.clients: tuple[ReplicaClient, ...] = ()
        self.in_flight = 0
        self.crowd = Crowd(manifest.model, manifest.batching)
        self.waiting: dict[Waits, None] = {}
        self.trials = Trials(self)
        self.troubles = Troubles(self, moved)
        self.wake: Callable[[], None] | None = None
        self.refusal: PrismError | None = None
        self.hold_s = hold_s
        self.load_s = 0.0
        self._record = record
        self._refused = CallRecord(self.model, self.version, 503, "overloaded", 0, 0, 0.0, 0.0, 0.0, "bypass")
        self._emptied: asyncio.Future[None] | None = None

    def add(self, client: ReplicaClient) -> None:
        """Take a ready replica into service."""
        if not self.trials.take(client):
            self.clients = (*self.clients, client)
            self._resume()

    def remove(self, client: ReplicaClient) -> None:
        """Send nothing more to a replica; what it has in flight goes on."""
        self.clients = tuple(one for one in self.clients if one is not client)
        self.trials.remove(client)
        if self.troubles:
            self.troubles.removed(client)

    def set_apart(self) -> ReplicaClient | None:
        """Take the least loaded replica out of service for a while; None if there is none."""
        client = self.least_loaded()
        if client is not None:
            self.clients = tuple(one for one in self.clients if one is not client)
        return client

    def close(self, refusal: PrismError | None = None) -> None:
        """Refuse new calls, and those that still wait for a replica, with ``refusal``."""
        self.refusal = refusal or ModelNotFound(
            f"Version {self.version} of {self.model!r} is being stopped.",
            hint=f"Ask {self.model!r} without a version for the one that serves now.",
        )
        if self.cache is not None:
            self.cache.close()
        for asking in self._take_waiting():
            asking.resume()

    def fail(self) -> None:
        """Close a version that cannot be kept up. Why not is for its owner: the reason may quote a path."""
        self.close(
            ServingError(
                f"Version {self.version} of {self.model!r} has failed; the request waited in vain.",
                hint=f"Its owner finds out why with `prism show {self.model}`.",
            )
        )

    def disappoint(self, error: PrismError) -> None:
        """Refuse those that wait for a replica; whoever comes later may have more luck."""
        for asking in self._take_waiting():
            asking.refuse(error)

    def drop_answers(self) -> None:
        """Free the answers that are kept."""
        if self.cache is not None:
            self.cache.drop()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls and return when none is in flight, or after ``timeout_s``."""
        self.close()
        if not self.in_flight:
            return
        self._emptied = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._emptied}, timeout=timeout_s)

    def ask(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnAnswer,
        request: str = "",
        sender: AskSender = nobody,
        how: Callable[..., Asking] = Asking,
    ) -> Asking | None:
        """Begin a call; ``answer`` is called once with its outcome, perhaps before this returns.

        Returns None for a call that is refused because of the crowd: a refusal must be cheap.

        Parameters
        ----------
        timeout_s
            The deadline from now; 0 for the version's own.
        answer
            Called with the `Prediction`, or with the `PrismError` that the runtime answered,
            `DeadlineExceeded` or `ReplicaLost`; not called after `Asking.cancel`.
        request
            The X-Request-Id, for the runtime's log.
        sender
            Is not asked: to a version all are equal.
        how
            Makes it: what is done where there is no replica, or where that is slow; see
            `prism_core.gateway.traffic.askings` and `prism_core.gateway.traffic.hedging`.
        """
        if self.in_flight >= self.crowd.bound and (self.cache is None or not head.cached):
            self._record(self._refused)
            answer(self.crowd.refusal)
            return None
        begun = time.monotonic()
        deadline = begun + (timeout_s or self.manifest.timeout_s)
        asking = how(self, head, body, begun, deadline, answer, request)
        self.in_flight += 1
        asking.begin()
        return asking

    async def predict(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float = 0.0,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Prediction:
        """Return the answer to ``body``; as `ask`, for whoever may await.

        Raises
        ------
        PrismError
            What `ask` would answer.
        """
        return await answered(lambda answer: self.ask(head, body, timeout_s, answer, request))

    def least_loaded(self) -> ReplicaClient | None:
        """Return the replica to ask next; None if there is none, or the lane is closed."""
        clients = self.clients
        if self.refusal is not None or not clients:
            return None
        return clients[0] if len(clients) == 1 else min(clients, key=_in_flight)

    def wake_up(self) -> None:
        """Tell whoever unloads replicas that one is wanted."""
        if self.wake:
            self.wake()

    def ended(self, record: CallRecord) -> None:
        """Take note of a call that has ended."""
        self.in_flight -= 1
        if not self.in_flight and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)
        self._record(record)

    def _resume(self) -> None:
        waiting, self.waiting = self.waiting, {}
        for asking in waiting:
            asking.resume()

    def _take_waiting(self) -> list[Waits]:
        """Return all that wait for a replica; none does any more."""
        found = [*self.waiting, *self.trials.waiting]
        self.waiting, self.trials.waiting = {}, {}
        return found


def _in_flight(client: ReplicaClient) -> int:
    return client.in_flight


def signature_of(ready: wire.Ready) -> Signature:
    """Return the signature that a READY frame carries."""
    return msgspec.convert(ready.signature, Signature)
