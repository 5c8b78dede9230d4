"""Compares answers with those of shadows in a thread that gives way, and reports what that adds up to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import attrs
import structlog

from prism_core.gateway.traffic.kinds import Compared, Shadowed, TrafficRecord
from prism_core.gateway.traffic.shadows.questions import Pair, Question
from prism_core.traffic.comparing import Agreement, Answer, compare

# Rows of one request are alike: some dozens say as much as thousands, and take less than a millisecond.
MOST_ROWS = 64
# How long it waits for more before it compares, and pairs that may wait for that: 16 MB of them at most.
TOGETHER_S = 0.1
MOST_PAIRS = 128
PAUSE_S = 0.0002

log = structlog.get_logger("prism.shadows")


@attrs.frozen(eq=False, slots=True)
class Answered:
    """A question with the answer of the shadow."""

    question: Question
    answer: Answer


@attrs.define(eq=False)
class Pairing:
    """Takes answers of shadows, and questions that were dropped.

    Parameters
    ----------
    record
        Takes what was found out, on its way to the leader.
    """

    record: Callable[[TrafficRecord], None]
    _answered: list[Answered] = attrs.field(factory=list)
    _dropped: dict[Pair, Counter[str]] = attrs.field(factory=dict)
    _due: asyncio.Task[None] | None = None
    _hurry: asyncio.Event = attrs.field(factory=asyncio.Event)

    def add(self, answered: Answered) -> None:
        """Take the answer of a shadow; it is compared in a moment."""
        if len(self._answered) < MOST_PAIRS:
            self._answered.append(answered)
            self._begin()
        else:
            self.drop(answered.question.pair, "busy")

    def drop(self, pair: Pair, why: str) -> None:
        """Count a request of which the shadow was not asked."""
        counts = self._dropped.get(pair)
        if counts is None:
            counts = self._dropped[pair] = Counter()
        counts[why] += 1
        self._begin()

    async def finish(self) -> None:
        """Compare and report what there is, now."""
        self._hurry.set()
        while self._due is not None:
            await self._due

    def _begin(self) -> None:
        if self._due is None:
            self._due = asyncio.create_task(self._report(), name="compare shadows")

    async def _report(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), TOGETHER_S)
        answered, self._answered = self._answered, []
        dropped, self._dropped = self._dropped, {}
        try:
            found = await asyncio.to_thread(compared, answered) if answered else Found()
            for pair in found.pairs:
                self.record(pair)
            for sums in found.added_up(dropped, time.time()):
                self.record(sums)
        finally:
            self._due = None
            if self._answered or self._dropped:
                self._begin()


@attrs.frozen(eq=False)
class Found:
    """What a batch of answers says: pair by pair, and added up."""

    pairs: list[Compared] = attrs.field(factory=list)
    sums: dict[Pair, Agreement] = attrs.field(factory=dict)

    def add(self, one: Answered) -> None:
        """Compare a pair and count it."""
        question, answer = one.question, one.answer
        difference = compare(question.answer, answer, question.tolerance, most_rows=MOST_ROWS)
        pair, live = question.pair, question.answer
        self.sums.setdefault(pair, Agreement()).add(question.request, live, answer, difference)
        self.pairs.append(
            Compared(
                time.time(),
                question.request,
                pair.model,
                question.revision,
                question.arm,
                pair.live,
                pair.shadow,
                difference.rows,
                difference.agreed,
                difference.why,
                live.code,
                answer.code,
                live.latency_s,
                answer.latency_s,
            )
        )

    def added_up(self, dropped: Mapping[Pair, Mapping[str, int]], now: float) -> Iterator[Shadowed]:
        """Yield the sums of each pair of versions, with what was dropped."""
        for pair in {**self.sums, **dropped}:
            agreement, counts = self.sums.get(pair) or Agreement(), dict(dropped.get(pair, {}))
            yield Shadowed(now, pair.model, pair.live, pair.shadow, agreement, counts)


def compared(answered: Iterable[Answered]) -> Found:
    """Compare a batch, in a thread.

    It rests as long as it works: whoever wants the interpreter's lock meanwhile gets it at once instead of
    after the five milliseconds that Python lets a thread keep it.
    """
    found = Found()
    for one in answered:
        begun = time.perf_counter()
        try:
            found.add(one)
        except Exception:  # a fault of ours: it costs this pair, not the others
            log.exception("shadow.not_compared", request=one.question.request)
        time.sleep(max(PAUSE_S, time.perf_counter() - begun))
    return found
