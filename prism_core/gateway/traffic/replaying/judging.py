"""Compares pairs of answers in a thread that gives way, and adds up what they say."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence

import attrs
import structlog

from prism_core.gateway.traffic.replaying.sending import Pair
from prism_core.traffic.comparing import Agreement, Tolerance, compare
from prism_core.traffic.replaying.counting import Features
from prism_core.traffic.replaying.features import Row, rows_of
from prism_core.types import Signature

TOGETHER = 64
# Pairs that may wait to be compared: more are counted, and not compared.
MOST_PAIRS, MOST_BYTES = 4096, 64 * 1024 * 1024
PAUSE_S = 0.0002
BUSY = "busy"
FAILED = frozenset({"live_failed", "other_failed", "both_failed"})

log = structlog.get_logger("prism.replay")


@attrs.define(eq=False)
class Judging:
    """Adds up what pairs of answers say.

    Parameters
    ----------
    signature
        The baseline's: what the features of a request are called.
    """

    signature: Signature
    tolerance: Tolerance
    agreement: Agreement = attrs.field(factory=Agreement)
    features: Features = attrs.field(factory=Features)
    baseline_s: array[float] = attrs.field(factory=lambda: array("d"))
    candidate_s: array[float] = attrs.field(factory=lambda: array("d"))
    uncompared: Counter[str] = attrs.field(factory=Counter)
    shown: dict[str, Row] = attrs.field(factory=dict)
    _waiting: deque[Pair] = attrs.field(factory=deque)
    _bytes: int = 0
    _task: asyncio.Task[None] | None = None
    _closed: bool = False

    def add(self, pair: Pair) -> None:
        """Take a pair; it is compared in a moment."""
        if self._closed:
            return
        if len(self._waiting) >= MOST_PAIRS or self._bytes > MOST_BYTES:
            self.uncompared[BUSY] += 1
            return
        self._waiting.append(pair)
        self._bytes += pair.size_bytes
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="judge a replay")

    async def finish(self) -> None:
        """Return when all pairs are compared."""
        while self._task is not None:
            await self._task

    async def close(self) -> None:
        """Compare no more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                count = min(TOGETHER, len(self._waiting))
                pairs = [self._waiting.popleft() for _ in range(count)]
                self._bytes -= sum(pair.size_bytes for pair in pairs)
                await asyncio.to_thread(self.judge, pairs)
        finally:
            self._task = None

    # --- in a thread ---------------------------------------------------------------------------

    def judge(self, pairs: Sequence[Pair]) -> None:
        """Compare some pairs.

        It rests as long as it works: whoever wants the interpreter's lock meanwhile gets it at once instead
        of after the five milliseconds that Python lets a thread keep it.
        """
        for pair in pairs:
            begun = time.perf_counter()
            try:
                self._judge(pair)
            except Exception:  # a fault of ours: it costs this pair, not the others
                self.uncompared["fault"] += 1
                log.exception("replay.not_compared", request=pair.exchange.request)
            time.sleep(max(PAUSE_S, time.perf_counter() - begun))

    def _judge(self, pair: Pair) -> None:
        baseline, candidate = pair.baseline, pair.candidate
        assert baseline is not None
        assert candidate is not None
        found = compare(baseline, candidate, self.tolerance)
        self.agreement.add(pair.exchange.request, baseline, candidate, found)
        if found.why in FAILED:
            return
        self.baseline_s.append(baseline.latency_s)
        self.candidate_s.append(candidate.latency_s)
        rows = rows_of(pair.exchange.body, self.signature)
        if found.rows and len(rows) >= found.rows:
            apart = set(found.apart)
            for at, row in enumerate(rows[: found.rows]):
                self.features.add(row, at in apart)
            if found.apart:
                self._show(pair.exchange.request, rows[found.apart[0]])

    def _show(self, request: str, row: Row) -> None:
        """Keep the first row that differs of the requests that are examples."""
        self.shown[request] = row
        examples = {one.request for one in self.agreement.examples}
        self.shown = {name: one for name, one in self.shown.items() if name in examples}
