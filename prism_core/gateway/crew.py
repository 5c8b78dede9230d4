"""The replicas of one version: start them together, grow and shrink, replace each that is lost.

A crew without replicas is unloaded: its lane stays, and whoever fills it again is told by
the lane. A loss is heard from the replica's connection; nothing polls.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs
import structlog

from prism_core import wire
from prism_core.errors import IllegalTransition, LaunchFailed, PrismError
from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.memory import needed_bytes
from prism_core.gateway.replica import Ledger, Place, Replica
from prism_core.gateway.restarts import RestartPolicy
from prism_core.gateway.use import Use
from prism_core.manifest import Manifest

log = structlog.get_logger("prism.supervisor")


class Watcher(Protocol):
    """Who hears what happens to replicas."""

    def lost(self, manifest: Manifest, replica: str, reason: str) -> None:
        """Hear that a replica ended that should not have."""

    def restarted(self, manifest: Manifest, replica: str, restarts: int) -> None:
        """Hear that a lost replica serves again."""

    def failed(self, manifest: Manifest, error: PrismError) -> None:
        """Hear that no replica of the version can be kept alive."""

    def disappointed(self, manifest: Manifest, error: PrismError) -> None:
        """Hear that calls which wait for a replica wait in vain; later ones may have more luck."""

    def moved(self) -> None:
        """Hear that a replica came into its lane, or left it."""

    async def quiet(self, timeout_s: float) -> float:
        """Wait until no other gateway has a call on a replica that left its lane; return the time left."""

    async def elsewhere(self) -> Mapping[tuple[str, int], int]:
        """Return the calls in flight in other gateways, by model and version."""


@attrs.define(eq=False)
class Crew:
    """The replicas of one version.

    Attributes
    ----------
    replicas
        Those that serve, and those that are being started or restarted.
    use
        How it has been used.
    elsewhere
        Calls in flight in other gateways, when they were last asked.
    """

    manifest: Manifest
    place: Place
    ledger: Ledger
    watcher: Watcher
    policy: RestartPolicy
    replicas: list[Replica] = attrs.field(factory=list)
    use: Use = attrs.field(factory=Use)
    lane: Lane | None = None
    elsewhere: int = 0
    _keepers: dict[Replica, asyncio.Task[None]] = attrs.field(factory=dict)
    _counted: dict[Replica, int] = attrs.field(factory=dict)
    _used_elsewhere: int = 0
    _starts: asyncio.Future[list[BaseException | None]] | None = None
    _said: wire.Ready | None = None
    _broken_off: bool = False
    _stopped: bool = False
    _changing: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def ready(self) -> list[Replica]:
        """The replicas that serve."""
        return [replica for replica in self.replicas if replica.state is State.READY]

    @property
    def name(self) -> str:
        """What messages call the version: ``churn/3``."""
        return f"{self.manifest.model}/{self.manifest.version}"

    @property
    def changing(self) -> bool:
        """Whether replicas are being started or ended."""
        return self._changing.locked()

    @property
    def loaded_at(self) -> float:
        """When the first of its replicas was started, in Unix seconds."""
        return min((replica.started for replica in self.replicas), default=0.0)

    @property
    def own_bytes(self) -> int:
        """What its replicas hold: as measured, else as expected."""
        expected = needed_bytes(self.manifest, self.use.own_bytes, 1)
        return sum(one.usage.memory_bytes if one.usage else expected for one in self.ready)

    @property
    def in_flight(self) -> int:
        """Calls that have begun and not ended, also those that wait for a replica, in all gateways."""
        return self.elsewhere + (self.lane.in_flight if self.lane else 0)

    @property
    def busy(self) -> bool:
        """Whether a call is in flight, or waits for a replica."""
        clients = (replica.client for replica in self.replicas)
        return self.in_flight > 0 or any(client is not None and client.in_flight for client in clients)

    async def start(self, count: int) -> wire.Ready:
        """Start what is missing to ``count`` replicas, together, and wait until it is ready.

        Returns
        -------
        Ready
            What a replica said when it was ready.

        Raises
        ------
        PrismError
            Why one could not; then none of those that were missing is left running.
        """
        async with self._changing:
            if self._stopped:
                raise self._told_to_stop()
            missing = count - len(self.replicas)
            if missing > 0:
                self._said = await self._start(missing)
            assert self._said is not None
            return self._said

    def serve(self, lane: Lane) -> None:
        """Put the started replicas into ``lane``, and from now on replace those that are lost."""
        self.lane = lane
        for replica in self.replicas:
            self._enlist(replica)

    async def shrink(self, count: int, grace_s: float) -> None:
        """End all but ``count`` replicas, the youngest first; each answers what it has.

        It leaves the lane before it is told to end, so a call that comes now finds another
        one, or wakes the crew: none is lost.
        """
        async with self._changing:
            # Those that serve stay before those that are being restarted or were given up.
            by_use = sorted(self.replicas, key=lambda one: one.state is not State.READY)
            self.replicas, leaving = by_use[:count], by_use[count:]
            await self._dismiss(leaving, grace_s)

    def break_off(self) -> None:
        """End a start that is under way; `start` raises then."""
        if self._starts and not self._starts.done():
            self._broken_off = True
            self._starts.cancel()

    async def stop(self, grace_s: float) -> None:
        """End all replicas for good, also what is being started; they get ``grace_s`` to answer."""
        self._stopped = True
        self.break_off()
        await self.shrink(0, grace_s)

    def look(self, now: float) -> int:
        """Take note of the calls since the last look, at ``now`` in Unix seconds; return how many."""
        calls = self._used_elsewhere + sum(self._new_calls(replica) for replica in self.replicas)
        self._used_elsewhere = 0
        if calls:
            self.use.add(calls, now)
        return calls

    def used_elsewhere(self) -> None:
        """Take note of a call that another gateway has made."""
        self._used_elsewhere += 1

    async def measure(self) -> None:
        """Measure every replica that serves."""
        for replica in self.ready:
            usage = await replica.measure()
            if usage:
                self.use.own_bytes = usage.memory_bytes

    async def last_words(self) -> list[str]:
        """Return the end of the first replica's log."""
        return await self.replicas[0].last_words() if self.replicas else []

    # --- starting and ending ---------------------------------------------------------

    async def _start(self, count: int) -> wire.Ready:
        begun = time.monotonic()
        new = [self._replica(index) for index in self._free_indices(count)]
        self.replicas += new
        self._broken_off = False
        self._starts = asyncio.gather(*(replica.start() for replica in new), return_exceptions=True)
        try:
            for outcome in await self._starts:
                if isinstance(outcome, BaseException):
                    raise outcome
        except PrismError as error:
            # `gather` keeps the order, so the error is that of the first replica that failed.
            error.details.setdefault("log", await new[0].last_words())
            await self._give_back(new)
            raise
        except BaseException:
            await asyncio.shield(self._give_back(new))
            if self._broken_off:
                raise self._told_to_stop() from None
            raise
        self.use.load_s = time.monotonic() - begun
        if self.lane:
            self.lane.load_s = self.use.load_s
            for replica in new:
                self._enlist(replica)
        client = new[0].client
        assert client is not None
        return client.ready

    def _free_indices(self, count: int) -> list[int]:
        taken = {replica.name for replica in self.replicas}
        free = (index for index in range(len(taken) + count) if self._name(index) not in taken)
        return [index for index, _ in zip(free, range(count), strict=False)]

    def _name(self, index: int) -> str:
        return f"{self.manifest.model}-{self.manifest.version}-{index}"

    def _replica(self, index: int) -> Replica:
        return Replica(self._name(index), self.manifest, self.place, self.ledger)

    async def _give_back(self, new: Iterable[Replica]) -> None:
        self.replicas = [replica for replica in self.replicas if replica not in new]
        await self._dismiss(new, 0)

    async def _dismiss(self, leaving: Iterable[Replica], grace_s: float) -> None:
        keepers = [self._keepers.pop(replica) for replica in leaving if replica in self._keepers]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(self._end(replica, grace_s) for replica in leaving))
        for replica in leaving:
            replica.state = State.STOPPED

    async def _end(self, replica: Replica, grace_s: float) -> None:
        calls = self._new_calls(replica)
        if calls:
            self.use.add(calls, time.time())
        self._counted.pop(replica, None)
        await replica.end(await self._quiet(replica, grace_s))

    async def _quiet(self, replica: Replica, grace_s: float) -> float:
        """Take a replica out of its lane everywhere; return what is left of ``grace_s`` when all rest."""
        if replica.client and self.lane:
            self.lane.remove(replica.client)
            self.watcher.moved()
            if grace_s:  # whoever still sends to it has to be heard before it is told to end
                return await self.watcher.quiet(grace_s)
        return grace_s

    def _new_calls(self, replica: Replica) -> int:
        if replica.client is None:
            return 0
        counted, now = self._counted.get(replica, 0), replica.client.calls
        self._counted[replica] = now
        return now - counted

    def _told_to_stop(self) -> IllegalTransition:
        return IllegalTransition(
            f"Version {self.manifest.version} of {self.manifest.model!r} was told to stop while it started."
        )

    # --- keeping ---------------------------------------------------------------------

    def _enlist(self, replica: Replica) -> None:
        if self.lane:
            replica.join(self.lane)
            self.watcher.moved()
        if replica not in self._keepers:
            self._keepers[replica] = asyncio.create_task(self._keep(replica), name=f"keep {replica.name}")

    async def _keep(self, replica: Replica) -> None:
        try:
            await self._replace_when_lost(replica)
        except Exception:  # a backend broke its promise; without a keeper the replica is given up
            log.exception("replica.keeper_failed", replica=replica.name)
            self._give_up(replica, 1, "its isolation backend failed")

    async def _replace_when_lost(self, replica: Replica) -> None:
        deaths, ready_at = 0, time.monotonic()
        while True:
            await replica.lost.wait()
            deaths = self.policy.deaths(deaths, time.monotonic() - ready_at, self._was_asked(replica))
            await self._bury(replica)
            if not await self._revive(replica, deaths):
                return
            replica.restarts += 1
            ready_at = time.monotonic()
            self._enlist(replica)
            self.watcher.restarted(self.manifest, replica.name, replica.restarts)

    def _was_asked(self, replica: Replica) -> bool:
        """Return whether a replica had calls to answer, here or from another gateway."""
        here = replica.client is not None and replica.client.calls > 0
        return here or self._used_elsewhere > 0 or self.use.last >= replica.started

    async def _bury(self, replica: Replica) -> None:
        replica.state = State.STARTING
        reason = replica.reason or f"it ended with {await replica.end_text()}"
        await self._end(replica, 0)
        self.watcher.lost(self.manifest, replica.name, reason)
        replica.reason = replica.last_loss = reason

    async def _revive(self, replica: Replica, deaths: int) -> bool:
        reason = replica.reason
        while (delay_s := self.policy.delay_s(deaths, random.random())) is not None:
            await asyncio.sleep(delay_s)
            try:
                await replica.start()
            except PrismError as error:
                deaths, reason = deaths + 1, error.message
                log.warning("replica.start_failed", replica=replica.name, deaths=deaths, error=error.message)
            else:
                return True
        self._give_up(replica, deaths, reason)
        return False

    def _give_up(self, replica: Replica, deaths: int, reason: str) -> None:
        replica.state, replica.reason = State.FAILED, reason
        if all(one.state is State.FAILED for one in self.replicas):
            error = LaunchFailed(
                f"{self.manifest.model!r} version {self.manifest.version} died {deaths} times in a row; "
                f"the last time: {reason}",
                hint="`prism logs` shows its last words; `prism start` tries again.",
            )
            self.watcher.failed(self.manifest, error)
