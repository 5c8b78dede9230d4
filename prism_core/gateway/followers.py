"""The leader's side of ``--gateways N``: keep followers told, hear what they report.

Every change of the registry goes to all followers, in the order in which it happened.
`Followers.agree` returns when each of them serves what the registry says: a rollout that
was reported done is done everywhere. With one gateway there is no follower, and all of
this returns at once. `prism_core.gateway.keeping` runs their processes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import attrs
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.channel import (
    Accept,
    Accepting,
    Ahead,
    Ask,
    CallerUses,
    Channel,
    Command,
    Disappoint,
    Drain,
    LetIn,
    Ready,
    Records,
    Report,
    Routed,
    Told,
    Update,
)
from prism_core.gateway.lane import Lane
from prism_core.gateway.registry import Registry, split
from prism_core.gateway.table import Table, changes, table_of
from prism_core.gateway.traffic.kinds import Compared, TrafficRecord
from prism_core.specs import CallRecord

# How long a follower may take to serve what it was told before it is killed and replaced.
# Its loop never does anything long, so then it hangs, and would go on with what was.
AGREE_S = 5.0
# How long a look at the followers may take; it goes on without those that do not answer.
LOOK_S = 1.0

# How an answer was had that a replica worked for.
COMPUTED = frozenset({"miss", "bypass"})

log = structlog.get_logger("prism.followers")


@attrs.define(eq=False)
class Member:
    """One running follower.

    ``told`` is what it serves, ``asked`` are questions by their number. ``welcoming``: it was
    told to accept, so it counts; before that it may take its time.
    """

    pid: int
    kill: Callable[[], None]
    channel: Channel[Report] = attrs.field(init=False)
    welcoming: bool = False
    accepting: asyncio.Event = attrs.field(factory=asyncio.Event)
    told: Table | None = None
    asked: dict[int, asyncio.Future[Told]] = attrs.field(factory=dict)


class Followers:
    """All followers of a leader, none until one joins.

    Parameters
    ----------
    registry
        What they are to serve; it calls `changed`.
    record
        Takes the records of the calls that they have answered.

    Attributes
    ----------
    used
        Called with model and version for each call that a replica has worked for.
    greetings
        What a new follower is told beside the models, each made when one comes.
    heard
        Called with what followers report of callers.
    routed
        Called with what they report of routed requests.
    left
        Called with the process id of one that is gone.
    refused
        How many requests were refused for what; those of followers are added.
    rates
        Whose buckets are theirs too; None where nothing is limited.
    """

    def __init__(self, registry: Registry, record: Callable[[CallRecord], None]) -> None:
        self.members: list[Member] = []
        self.used: Callable[[str, int], None] = lambda model, version: None
        self.greetings: list[Callable[[], Command]] = []
        self.heard: Callable[[CallerUses], None] = lambda uses: None
        self.routed: Callable[[Sequence[TrafficRecord]], None] = lambda records: None
        self.left: Callable[[int], None] = lambda pid: None
        self.refused: Counter[str] = Counter()
        self.rates: Limiter | None = None
        self._registry = registry
        self._record = record
        self._last_id = 0
        self._due = False
        self._wanted: set[tuple[str, int]] = set()
        registry.changed = self.changed

    def join(self, member: Member) -> None:
        """Tell a new follower what is served, and keep it told."""
        self.members.append(member)
        for greeting in self.greetings:
            member.channel.send(greeting())
        self._tell()

    def leave(self, member: Member) -> None:
        """Forget a follower that is gone; nobody waits for its answers any more."""
        self.members.remove(member)
        self.left(member.pid)
        for future in member.asked.values():
            future.cancel()

    # --- what they are told ---------------------------------------------------------

    def changed(self) -> None:
        """Hear that something may have changed; the followers are told at the end of the loop's turn."""
        if self.members and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._due = False
        table = table_of(self._registry.models)
        for member in self.members:
            some = changes(member.told or {}, table)
            if some or member.told is None:
                member.channel.send(Update(some))
            member.told = table
        self._wake_wanted()

    def disappoint(self, model: str, version: int, error: PrismError) -> None:
        """Refuse the calls that wait for a replica in followers."""
        for member in self.members:
            told = (error.code, error.message, error.hint, error.details)
            member.channel.send(Disappoint(model, version, *told))

    def tell(self, command: Command) -> None:
        """Tell all of them something."""
        for member in self.members:
            member.channel.send(command)

    def drain(self) -> None:
        """Let all of them accept no more and end when they have answered."""
        self.tell(Drain())

    # --- what they are asked ---------------------------------------------------------

    async def agree(self) -> None:
        """Return when every gateway serves what the registry says now."""
        told = await self._ask(AGREE_S)
        for member in tuple(self.members):
            if member in told and told[member] is None:
                log.error("follower.hangs", pid=member.pid)
                member.kill()
                await member.channel.lost.wait()

    async def quiet(self, timeout_s: float) -> float:
        """Wait until none has a call in flight on what is out of service; return what is left of the time."""
        begun = time.monotonic()
        if not await self._ask(timeout_s, quiet=True):
            return timeout_s
        return max(0.0, timeout_s - (time.monotonic() - begun))

    async def in_flight(self) -> Mapping[tuple[str, int], int]:
        """Return their calls in flight by model and version.

        The records of what they had answered before are here when it returns.
        """
        counts: Counter[tuple[str, int]] = Counter()
        for told in (await self._ask(LOOK_S)).values():
            for model, version, number in told.in_flight if told else ():
                counts[model, version] += number
        return counts

    async def _ask(self, timeout_s: float, *, quiet: bool = False) -> dict[Member, Told | None]:
        """Ask all that count; None stands for one that did not answer in time, or is gone."""
        members = [member for member in self.members if member.welcoming]
        if not members:
            return {}
        self._tell()  # what has just changed comes before the question
        self._last_id += 1
        asked: dict[Member, asyncio.Future[Told]] = {}
        for member in members:
            asked[member] = member.asked[self._last_id] = asyncio.get_running_loop().create_future()
            member.channel.send(Ask(self._last_id, quiet))
        await asyncio.wait(asked.values(), timeout=timeout_s)
        return {member: _result(future) for member, future in asked.items()}

    # --- what they report -------------------------------------------------------------

    def hear(self, member: Member, report: Report) -> None:
        """Take what a follower reports."""
        if isinstance(report, Records):
            for call in report.records:
                self._record(call)
                if call.cache in COMPUTED:
                    self.used(call.model, call.version)
        elif isinstance(report, Routed):
            self.routed(report.records)
            for record in report.records:
                if isinstance(record, Compared):  # no call of the version, but use of its replica
                    name, _, number = split(record.shadow)
                    self.used(name, int(number))
        elif isinstance(report, Told):
            future = member.asked.pop(report.id, None)
            if future and not future.done():
                future.set_result(report)
        elif isinstance(report, Ready):
            self._welcome(member)
        elif isinstance(report, Accepting):
            member.accepting.set()
        elif isinstance(report, CallerUses):
            self.refused.update(report.refused)
            self.heard(report)
        elif isinstance(report, LetIn):
            member.channel.send(self._ahead(report))
        else:
            self._wanted.add((report.model, report.version))
            self._wake_wanted()

    def _ahead(self, report: LetIn) -> Ahead:
        if self.rates is None:
            return Ahead(report.id, [], "nothing is limited here")
        ahead_s = self.rates.spend(report.spendings)
        return Ahead(report.id, ahead_s, self.rates.outage.message if self.rates.outage else "")

    def _welcome(self, member: Member) -> None:
        """Let a follower accept: it has heard of all changes before, and from now on it is waited for."""
        self._tell()
        member.channel.send(Accept())
        member.welcoming = True

    def _wake_wanted(self) -> None:
        """Wake what followers wait for; what cannot be woken yet is tried again when something changes."""
        for key in tuple(self._wanted):
            lane = self._lane(*key)
            if lane is None or lane.clients:
                self._wanted.discard(key)
            elif lane.wake:
                self._wanted.discard(key)
                lane.wake()

    def _lane(self, name: str, number: int) -> Lane | None:
        model = self._registry.models.get(name)
        version = model.versions.get(number) if model else None
        return version.lane if version else None


def _result(future: asyncio.Future[Told]) -> Told | None:
    if future.done() and not future.cancelled():
        return future.result()
    future.cancel()
    return None
