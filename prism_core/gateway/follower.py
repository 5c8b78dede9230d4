"""A follower's conversation with its leader: what it is told, and what it reports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prism_core.errors import error_from_code
from prism_core.gateway.callers.mirrored import MirroredCallers, reporting
from prism_core.gateway.callers.sharing import LeaderStore
from prism_core.gateway.channel import (
    Accept,
    Accepting,
    Ahead,
    Ask,
    Channel,
    Command,
    Disappoint,
    Drain,
    Keys,
    LetIn,
    Links,
    Ready,
    Records,
    Routed,
    Spent,
    Told,
    Update,
    Wake,
    Weights,
    followers_end,
)
from prism_core.gateway.lanes import MakeLane, Record
from prism_core.gateway.mirror import Mirror
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.gateway.traffic.remembering import Remembering
from prism_core.gateway.traffic.replica_circuits import tell_of_replicas
from prism_core.gateway.traffic.routed import Routing
from prism_core.gateway.traffic.shadows.shadows import open_shadows
from prism_core.gateway.troubles import Moved
from prism_core.settings import LimitSettings
from prism_core.specs import CallRecord

# Call records that are reported in one go, and how long a few of them may wait for company.
BATCH = 512
REPORT_S = 0.25

MakeLanes = Callable[[Record, Moved], MakeLane]


class Follower:
    """An open follower. Made by `open_follower`.

    Attributes
    ----------
    service
        The one door for predictions, as the leader's.
    routing
        What the routes of this process share.
    callers
        The keys and links that are valid, and what was used of quotas.
    rates
        The leader's buckets.
    draining
        Set when the leader says so.
    """

    channel: Channel[Command]

    def __init__(self, make_lanes: MakeLanes, limits: LimitSettings) -> None:
        make_lane = make_lanes(self.record, tell_of_replicas(self.record_routed))
        self.mirror = Mirror(make_lane, self.wake, ready_s=limits.ready_s, drain_s=limits.drain_s)
        self.service = PredictService(self.mirror.registry)
        self.routing = Routing(self.record_routed)
        self.routing.taps.append(Remembering(self.record_routed).tap)
        self.routing.serve(self.mirror.registry)
        self.callers = MirroredCallers()
        self.rates = LeaderStore(lambda number, spendings: self.channel.send(LetIn(number, spendings)))
        self.draining = asyncio.Event()
        self._updated = asyncio.Event()
        self._welcome = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._pending: list[CallRecord] = []
        self._pending_routed: list[TrafficRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # --- what it is told --------------------------------------------------------------

    def hear(self, command: Command) -> None:
        """Do what the leader says."""
        if isinstance(command, Update):
            self.mirror.update(command.models)
            self._updated.set()
        elif isinstance(command, Accept):
            self._welcome.set()
        elif isinstance(command, Keys | Links | Spent):
            self.callers.hear(command)
        elif isinstance(command, Weights):
            command.give(self.routing.weights)
        elif isinstance(command, Ahead):
            self.rates.hear(command.id, command.ahead_s, command.reason)
        elif isinstance(command, Disappoint):
            error = error_from_code(command.code, command.message, command.hint, command.details)
            self.mirror.disappoint(command.model, command.version, error)
        elif isinstance(command, Drain):
            self.draining.set()
        elif command.quiet:
            task = asyncio.create_task(self._tell_when_quiet(command))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        else:
            self._tell(command)

    async def welcome(self) -> bool:
        """Return whether connections are welcome, once that is known."""
        await self._updated.wait()
        # uvloop reads the first models before what is opened behind this has set its taps, and countries.
        self.mirror.registry.refresh()
        self.channel.send(Ready())
        await first(self._welcome, self.draining, self.channel.lost)
        return not (self.draining.is_set() or self.channel.lost.is_set())

    async def over(self) -> None:
        """Return when it is to end: the leader says so, or is gone."""
        await first(self.draining, self.channel.lost)

    async def _tell_when_quiet(self, ask: Ask) -> None:
        await self.mirror.quiet()
        self._tell(ask)

    def _tell(self, ask: Ask) -> None:
        self.flush()  # what has been answered, and refused, is counted before this is heard
        if uses := self.callers.uses():
            self.channel.send(uses)
        self.channel.send(Told(ask.id, self.mirror.in_flight()))

    # --- what it reports --------------------------------------------------------------

    def accepting(self) -> None:
        """Tell the leader that connections are welcome."""
        self.channel.send(Accepting())

    def wake(self, model: str, version: int) -> None:
        """Tell the leader that a request waits for a version without replicas."""
        self.channel.send(Wake(model, version))

    def record(self, record: CallRecord) -> None:
        """Take note of an answered call. Must stay quick: it is on the way of every prediction."""
        self._pending.append(record)
        self._report_soon(len(self._pending))

    def record_routed(self, record: TrafficRecord) -> None:
        """Take note of what was found out about a routed request."""
        self._pending_routed.append(record)
        self._report_soon(len(self._pending_routed))

    def _report_soon(self, waiting: int) -> None:
        if waiting >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(REPORT_S, self.flush)

    def flush(self) -> None:
        """Report the calls that have been noted."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, []
        if pending:
            self.channel.send(Records(pending))
        routed, self._pending_routed = self._pending_routed, []
        if routed:
            self.channel.send(Routed(routed))


@asynccontextmanager
async def open_follower(
    sock: socket.socket, make_lanes: MakeLanes, limits: LimitSettings
) -> AsyncIterator[Follower]:
    """Follow the leader at the other end of ``sock``; at the end everything is reported.

    ``make_lanes`` is given what takes call records, and what hears of the circuits of replicas, and returns
    what makes lanes.
    """
    follower = Follower(make_lanes, limits)
    follower.channel = await followers_end(sock, follower.hear)
    try:
        async with (
            reporting(follower.callers, follower.channel.send),
            open_shadows(follower.record_routed) as shadows,
        ):
            follower.routing.taps.append(shadows.tap)
            yield follower
    finally:
        await follower.mirror.close()
        follower.flush()
        await follower.channel.finish()


async def first(*events: asyncio.Event) -> None:
    """Return when one of ``events`` is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
