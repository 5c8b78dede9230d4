"""The leader's registry in a follower: the same references, with lanes and connections of its own.

It decides nothing: the leader starts and stops replicas and moves aliases. What is taken
out of service is let go when its last call has been answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import attrs
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.client import ReplicaClient, connect
from prism_core.gateway.lane import Lane
from prism_core.gateway.lanes import MakeLane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.registry import Model, Registry, Version
from prism_core.gateway.table import Changes, SharedModel, SharedVersion, Table, changed
from prism_core.manifest import Manifest
from prism_core.types import Signature

# How long to wait before a replica that cannot be reached is tried again, and before a
# connection that is let go is looked at again: its last call has no event of its own.
RETRY_S = 0.1
LOOK_S = 0.01

log = structlog.get_logger("prism.follower")

Address = tuple[str, str]


class Link:
    """A connection to one replica for one lane, made again when it breaks, until it is released."""

    def __init__(self, lane: Lane, address: Address, ready_s: float) -> None:
        self._lane = lane
        self._address = address
        self._ready_s = ready_s
        self._client: ReplicaClient | None = None
        self._lost = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        address, token = self._address
        while True:
            self._lost.clear()
            try:
                client = await connect(address, token=token, timeout_s=self._ready_s, on_lost=self._hear_loss)
            except PrismError as error:
                # It has died; the leader knows it in a moment, or it is asked again.
                log.debug("replica.unreachable", address=address, error=error.message)
                await asyncio.sleep(RETRY_S)
                continue
            self._client = client
            self._lane.add(client)
            await self._lost.wait()
            self._client = None

    def _hear_loss(self, client: ReplicaClient) -> None:
        self._lane.remove(client)
        self._lost.set()

    async def release(self) -> None:
        """Send nothing more, at once; return when what is in flight has been answered."""
        self._task.cancel()
        client, self._client = self._client, None
        if client:
            self._lane.remove(client)
            while client.in_flight and not client.lost:  # noqa: ASYNC110 - an event would cost every call
                await asyncio.sleep(LOOK_S)
            await client.close()
        await asyncio.gather(self._task, return_exceptions=True)


@attrs.define(eq=False)
class Served:
    """A lane that takes predictions, and its links by address."""

    lane: Lane
    links: dict[Address, Link] = attrs.field(factory=dict)


class Mirror:
    """The leader's registry as it was last told, with lanes of this process.

    Parameters
    ----------
    make_lane
        Makes the lane of a manifest and a signature.
    wake
        Called with model and version when a request waits for a version without replicas.
    """

    def __init__(
        self, make_lane: MakeLane, wake: Callable[[str, int], None], *, ready_s: float, drain_s: float
    ) -> None:
        self.registry = Registry(lambda event: None)
        self._table: Table = {}
        self._served: dict[tuple[str, int], Served] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._leaving_lanes: list[Lane] = []
        self._make_lane = make_lane
        self._wake = wake
        self._ready_s = ready_s
        self._drain_s = drain_s

    def update(self, some: Changes) -> None:
        """Serve the changed models from now on: one assignment, as in the leader."""
        before, self._table = self._table, changed(self._table, some)
        models = {name: model for name, model in self.registry.models.items() if name in self._table}
        gone = [self._take_out(name, number) for name, number in self._no_more(before, some)]
        models |= {name: self._model(shared) for name, shared in some.items() if shared}
        self.registry.models = models
        self.registry.refresh()
        for served in gone:
            self._retire(served)

    def in_flight(self) -> list[tuple[str, int, int]]:
        """Return model, version and number of the calls in flight, what leaves included."""
        counts: Counter[tuple[str, int]] = Counter()
        for lane in (*(served.lane for served in self._served.values()), *self._leaving_lanes):
            counts[lane.manifest.model, lane.manifest.version] += lane.in_flight
        return [(*key, number) for key, number in counts.items() if number]

    def disappoint(self, model: str, version: int, error: PrismError) -> None:
        """Refuse the calls that wait for a replica of a version."""
        if served := self._served.get((model, version)):
            served.lane.disappoint(error)

    async def quiet(self) -> None:
        """Return when nothing is in flight on what has been taken out of service so far."""
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def close(self) -> None:
        """Let go of everything."""
        self.update(dict.fromkeys(self._table))
        await self.quiet()

    # --- versions ---------------------------------------------------------------------

    def _no_more(self, before: Table, some: Changes) -> list[tuple[str, int]]:
        """Return the served versions of changed models that are not the same version any more."""
        keys = [key for key in self._served if key[0] in some]
        return [key for key in keys if _essence(before, key) != _essence(self._table, key)]

    def _take_out(self, name: str, number: int) -> tuple[Served, SharedVersion | None]:
        return self._served.pop((name, number)), _find(self._table, (name, number))

    def _model(self, shared: SharedModel) -> Model:
        versions = {one.manifest.version: self._version(one) for one in shared.versions}
        return Model(
            shared.name,
            shared.last_version,
            shared.ceiling,
            versions,
            shared.named,
            shared.route,
            shared.revision,
        )

    def _version(self, shared: SharedVersion) -> Version:
        version = Version(
            shared.manifest, shared.signature, State(shared.state), error=shared.error, lane=None
        )
        if shared.served and shared.signature:
            version.lane = self._serve(shared, shared.signature)
        return version

    def _serve(self, shared: SharedVersion, signature: Signature) -> Lane:
        key = (shared.manifest.model, shared.manifest.version)
        served = self._served.get(key)
        if served is None:
            lane = self._make_lane(shared.manifest, signature)
            lane.wake = partial(self._wake, *key)
            served = self._served[key] = Served(lane)
        served.lane.load_s = shared.load_s
        self._connect(served, shared.replicas)
        return served.lane

    def _connect(self, served: Served, replicas: tuple[Address, ...]) -> None:
        for address in served.links.keys() - set(replicas):
            self._leave(served.links.pop(address).release())
        for address in replicas:
            if address not in served.links:
                served.links[address] = Link(served.lane, address, self._ready_s)

    # --- taking out ----------------------------------------------------------------------

    def _retire(self, left: tuple[Served, SharedVersion | None]) -> None:
        served, now = left
        if now and now.state == State.FAILED:
            served.lane.fail()
            drain_s = 0.0
        else:
            served.lane.close()
            drain_s = self._drain_s
        self._leaving_lanes.append(served.lane)
        self._leave(self._empty(served, drain_s))

    async def _empty(self, served: Served, drain_s: float) -> None:
        if drain_s:  # calls that are in flight on a version that failed have been answered already
            await served.lane.drain(drain_s)
        self._leaving_lanes.remove(served.lane)
        await asyncio.gather(*(link.release() for link in served.links.values()))

    def _leave(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _find(table: Table, key: tuple[str, int]) -> SharedVersion | None:
    model = table.get(key[0])
    versions = model.versions if model else ()
    return next((one for one in versions if one.manifest.version == key[1]), None)


def _essence(table: Table, key: tuple[str, int]) -> tuple[Manifest, Signature | None] | None:
    """Return what makes a served version the same one; None where it is not served."""
    found = _find(table, key)
    return (found.manifest, found.signature) if found and found.served else None
