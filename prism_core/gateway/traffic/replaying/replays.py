"""Replays recorded traffic on two versions, one replay at a time for a model, and tells how it goes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import attrs

from prism_core.errors import IllegalTransition, InvalidParameter, NotReadyInTime
from prism_core.gateway.auditing import Audit
from prism_core.gateway.crew import Crew
from prism_core.gateway.operate import Operator
from prism_core.gateway.registry import Version
from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.recordings.reading import Reader
from prism_core.gateway.traffic.recordings.shelf import Recordings, ahead
from prism_core.gateway.traffic.replaying.asking import Side
from prism_core.gateway.traffic.replaying.concluding import outcome_of
from prism_core.gateway.traffic.replaying.judging import Judging
from prism_core.gateway.traffic.replaying.sending import Sending, head_of
from prism_core.gateway.traffic.replaying.wish import ReplayWish, check_pace, misfit, reference_of
from prism_core.traffic.comparing import Tolerance
from prism_core.traffic.replaying.outcome import Outcome, broken
from prism_core.traffic.replaying.pacing import Pacing

# Between two lines that tell how it goes.
TELL_S = 0.5
# How often a version that waits for its next request is kept from being unloaded.
KEEP_S = 1.0
# How often it is looked whether a version is loaded that somebody else loads.
LOOK_S = 0.05


@attrs.frozen
class Progress:
    """How a replay goes: requests that were sent, of how many at most, and rows that differ, of how many."""

    sent: int
    of: int
    rows: int
    differing: int
    elapsed_s: float


@attrs.frozen
class Verdict:
    """The end of a replay: its outcome, and the bounds that it breaks."""

    outcome: Outcome
    broken: list[str]


@attrs.frozen(eq=False)
class Replay:
    """A replay that may begin. Made by `Replays.prepare`."""

    model: str
    wish: ReplayWish
    baseline: Version
    candidate: Version
    reader: Reader


class Replays:
    """The replays of a gateway."""

    def __init__(self, operator: Operator, recordings: Recordings, audit: Audit) -> None:
        self._operator = operator
        self._registry = operator.registry
        self._recordings = recordings
        self._audit = audit
        self._running: set[str] = set()

    async def prepare(self, model: str, wish: ReplayWish) -> Replay:
        """Return a replay of what was recorded of ``model``.

        Raises
        ------
        ModelNotFound, ServingError
            If a version is not there, or takes no predictions.
        NoRecordings
            If nothing was recorded in that time.
        InvalidParameter
            If the versions do not take the same, or it would take for ever.
        IllegalTransition
            If another one runs.
        """
        check_pace(wish)
        reader = await self._recordings.read(model, *wish.span)
        baseline, candidate = self._version(wish.baseline), self._version(wish.candidate)
        self._check_free(model)
        assert baseline.signature is not None
        assert candidate.signature is not None
        if why := misfit(baseline.signature, candidate.signature):
            raise InvalidParameter(
                f"{candidate.name} cannot be asked what {baseline.name} is asked: {why}.",
                hint=f"`prism show {candidate.name}` shows what it takes.",
            )
        return Replay(model, wish, baseline, candidate, reader)

    async def run(self, replay: Replay) -> AsyncGenerator[Progress | Verdict, None]:
        """Do it; yield how it goes, and at last the verdict. Whoever closes this ends it.

        Raises
        ------
        PrismError
            If another one runs, or a version cannot be loaded, or is stopped meanwhile.
        """
        self._check_free(replay.model)
        self._running.add(replay.model)
        try:
            wish = replay.wish
            await self._audit.write(
                "replay.run", replay.model, baseline=wish.baseline, candidate=wish.candidate
            )
            run = await self._opened(replay)
            async with run.keeping():
                async for told in run.told():
                    yield told
        finally:
            self._running.discard(replay.model)

    def _version(self, text: str) -> Version:
        version = self._registry.find(reference_of(text))
        if version.lane is None or version.signature is None:
            raise self._registry.explain(version.name)
        return version

    def _check_free(self, model: str) -> None:
        if model in self._running:
            raise IllegalTransition(
                f"Traffic of {model!r} is being replayed.", hint="Wait for its end, or end it by Ctrl-C."
            )

    async def _opened(self, replay: Replay) -> Run:
        crews = [await self._loaded(version) for version in (replay.baseline, replay.candidate)]
        baseline, candidate, wish = _side(replay.baseline), _side(replay.candidate), replay.wish
        assert replay.baseline.signature is not None
        tolerance = Tolerance(wish.tolerance, wish.tolerance_percent / 100)
        judging = Judging(replay.baseline.signature, tolerance)
        pacing = Pacing(wish.speed, wish.max_gap_s) if wish.speed else None
        return Run(replay, crews, judging, Sending(baseline, candidate, pacing, judging.add))

    async def _loaded(self, version: Version) -> Crew:
        """Return the crew of a version once it can be asked; one of a server that starts is waited for."""
        key, lane = (version.manifest.model, version.manifest.version), version.lane
        assert lane is not None
        ends = time.monotonic() + self._operator.settings.limits.ready_s
        while True:
            if lane.refusal is not None:
                raise lane.refusal
            crew = self._operator.supervisor.crews.get(key)
            if crew is not None and lane.clients:
                return crew
            if time.monotonic() > ends:
                raise NotReadyInTime(f"{version.name} was not loaded in time.", hint="`prism show` says why.")
            if crew is not None and not crew.replicas:
                await self._operator.loads.fill(crew)
            await asyncio.sleep(LOOK_S)


@attrs.define(eq=False)
class Run:
    """A replay on its way."""

    replay: Replay
    crews: list[Crew]
    judging: Judging
    sending: Sending
    _begun: float = attrs.field(factory=time.monotonic)

    async def told(self) -> AsyncIterator[Progress | Verdict]:
        """Send everything; yield how it goes, and the verdict."""
        work = asyncio.create_task(self._work(), name=f"replay {self.replay.model}")
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=TELL_S)
                yield self._progress()
            outcome = work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self.judging.close()
        yield Verdict(outcome, broken(outcome, self.replay.wish.bounds))

    async def _work(self) -> Outcome:
        replay = self.replay
        async with aclosing(self._chosen()) as exchanges:
            await self.sending.send(exchanges)
        await self.judging.finish()
        damaged = replay.reader.damaged
        return await asyncio.to_thread(outcome_of, self.judging, self.sending, replay.model, damaged)

    async def _chosen(self) -> AsyncGenerator[Exchange, None]:
        wish, drawn, chosen = self.replay.wish, random.Random(0), 0
        async with aclosing(ahead(iter(self.replay.reader))) as exchanges:
            async for exchange in exchanges:
                if wish.percent < 100 and drawn.random() * 100 >= wish.percent:
                    continue
                if not chosen:
                    await self._warm(exchange)
                yield exchange
                chosen += 1
                if chosen == wish.limit:
                    return

    async def _warm(self, exchange: Exchange) -> None:
        """Ask both once, unmeasured: a first answer takes longer, and is nobody's fault."""
        loop, head = asyncio.get_running_loop(), head_of(exchange)
        for side in (self.sending.baseline, self.sending.candidate):
            answered = loop.create_future()
            side.ask(head, exchange.body, exchange.request, time.monotonic(), answered.set_result)
            await answered

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep both versions from being unloaded while they wait for the next request."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            for crew in self.crews:
                crew.use.add(0, time.time())
            await asyncio.sleep(KEEP_S)

    def _progress(self) -> Progress:
        wish, agreement, most = self.replay.wish, self.judging.agreement, self.replay.reader.requests
        of = min(round(most * wish.percent / 100), wish.limit or most)
        elapsed_s = round(time.monotonic() - self._begun, 1)
        return Progress(self.sending.sent, of, agreement.rows, agreement.rows - agreement.agreed, elapsed_s)


def _side(version: Version) -> Side:
    assert version.lane is not None
    return Side(version.name, version.lane)
