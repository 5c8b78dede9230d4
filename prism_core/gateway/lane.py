"""One served version: its cache, its replicas, its deadline.

A lane is found by one dict look-up and knows nothing of names, HTTP or processes; the
supervisor adds and removes its replicas.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import attrs
import msgspec

from prism_core import wire
from prism_core.errors import DeadlineExceeded, ModelNotFound, PrismError, ReplicaLost
from prism_core.gateway.cache import AnswerCache, Kept
from prism_core.gateway.client import ReplicaClient
from prism_core.manifest import Manifest
from prism_core.specs import CallRecord
from prism_core.types import Signature


@attrs.frozen(slots=True)
class Head:
    """Everything of a request but its body.

    ``query`` is the raw query string, ``style`` the response style of the route. ``cached``
    False: neither look up nor keep the answer.
    """

    media_type: str = ""
    accept: str = ""
    query: str = ""
    style: str = ""
    cached: bool = True


@attrs.define(slots=True)
class Prediction:
    """An answer, ready to be sent, and how it came about. Times in microseconds."""

    body: bytes | memoryview
    media_type: str
    model: str
    version: int
    rows: int
    cache: str = "bypass"
    batch_rows: int = 0
    queue_us: int = 0
    compute_us: int = 0


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
    """

    def __init__(
        self,
        manifest: Manifest,
        signature: Signature,
        *,
        cache: AnswerCache | None,
        record: Callable[[CallRecord], None],
    ) -> None:
        self.manifest = manifest
        self.signature = signature
        self.deterministic = manifest.deterministic and signature.deterministic
        self.clients: tuple[ReplicaClient, ...] = ()
        self.in_flight = 0
        self.wake: Callable[[], None] | None = None
        self._cache = cache if self.deterministic else None
        self._record = record
        self._refusal: PrismError | None = None
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, client: ReplicaClient) -> None:
        """Take a ready replica into service."""
        self.clients = (*self.clients, client)
        self._changed.set()

    def remove(self, client: ReplicaClient) -> None:
        """Send nothing more to a replica; what it has in flight goes on."""
        self.clients = tuple(one for one in self.clients if one is not client)
        if not self.clients:
            self._changed.clear()

    def close(self, refusal: PrismError | None = None) -> None:
        """Refuse new calls, and those that still wait for a replica, with ``refusal``."""
        self._refusal = refusal or ModelNotFound(
            f"Version {self.manifest.version} of {self.manifest.model!r} is being stopped.",
            hint=f"Ask {self.manifest.model!r} without a version for the one that serves now.",
        )
        self._changed.set()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls and return when none is in flight, or after ``timeout_s``."""
        self.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return

    async def predict(self, head: Head, body: bytes, timeout_s: float = 0.0) -> Prediction:
        """Return the answer to ``body``.

        Parameters
        ----------
        timeout_s
            The deadline from now; 0 for the version's own.

        Raises
        ------
        PrismError
            What the runtime answered, `DeadlineExceeded`, or `ReplicaLost`.
        """
        begun = time.monotonic()
        self.in_flight += 1
        self._empty.clear()
        code, status = "ok", 200
        prediction = Prediction(b"", "", self.manifest.model, self.manifest.version, 0)
        try:
            await self._fill(prediction, head, body, begun + (timeout_s or self.manifest.timeout_s))
        except PrismError as error:
            code, status = error.code, error.status
            raise
        except asyncio.CancelledError:
            code, status = "cancelled", 499
            raise
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._empty.set()
            self._record(
                CallRecord(
                    prediction.model,
                    prediction.version,
                    status,
                    code,
                    prediction.rows,
                    prediction.batch_rows,
                    prediction.queue_us / 1e6,
                    prediction.compute_us / 1e6,
                    time.monotonic() - begun,
                    prediction.cache,
                )
            )
        return prediction

    async def _fill(self, prediction: Prediction, head: Head, body: bytes, deadline: float) -> None:
        key = None
        if self._cache and head.cached:
            key = self._cache.key(f"{head.media_type}\n{head.accept}\n{head.query}\n{head.style}", body)
        if key is None or self._cache is None:
            prediction.body = await self._compute(prediction, head, body, deadline)
            return

        async def compute() -> Kept:
            answer = await self._compute(prediction, head, body, deadline)
            return Kept(prediction.media_type, prediction.rows, bytes(answer))

        kept, prediction.cache = await self._cache.answer(key, compute)
        prediction.body, prediction.media_type, prediction.rows = kept.body, kept.media_type, kept.rows

    async def _compute(self, prediction: Prediction, head: Head, body: bytes, deadline: float) -> memoryview:
        retried = not self.deterministic
        while True:
            client = await self._least_loaded(deadline)
            try:
                reply, answer = await self._call(client, head, body, deadline)
            except ReplicaLost:
                if retried:
                    raise
                retried = True
                self.remove(client)
                continue
            prediction.media_type = reply.media_type
            prediction.rows = reply.rows
            prediction.batch_rows = reply.batch_rows
            prediction.queue_us = reply.queue_us
            prediction.compute_us = reply.compute_us
            return answer

    async def _call(
        self, client: ReplicaClient, head: Head, body: bytes, deadline: float
    ) -> tuple[wire.Reply, memoryview]:
        left_s = deadline - time.monotonic()
        try:
            return await client.call(body, head.media_type, head.accept, left_s, head.query, head.style)
        except TimeoutError as error:
            raise self._late() from error

    async def _least_loaded(self, deadline: float) -> ReplicaClient:
        while self._refusal is None:
            clients = self.clients
            if len(clients) == 1:
                return clients[0]
            if clients:
                return min(clients, key=lambda client: client.in_flight)
            if self.wake:
                self.wake()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._changed.wait()
            except TimeoutError as error:
                raise self._late() from error
        raise self._refusal

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self.manifest.model!r} did not answer before the request's deadline.",
            hint="Allow more time (timeout_s), send fewer rows, or add replicas.",
        )


def salt_of(manifest: Manifest) -> bytes:
    """Return the bytes that tell a version's answers from all others."""
    return manifest.digest.encode() + b"\n" + manifest.to_json()


def signature_of(ready: wire.Ready) -> Signature:
    """Return the signature that a READY frame carries."""
    return msgspec.convert(ready.signature, Signature)
