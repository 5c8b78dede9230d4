"""Feedback in the leading gateway: answers are written into the journal, and judged when somebody asks."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from prism_core.errors import StorageFailed
from prism_core.gateway.traffic.journal import FILE, Journal, is_broken, open_journal
from prism_core.gateway.traffic.kinds import Judged, Remembered, Unremembered
from prism_core.gateway.traffic.verdicts import May, Tolerance, Verdicts, pieces_of
from prism_core.settings import FeedbackSettings

# Answers wait so long, and so many, until they are written.
EVERY_S, HELD = 0.25, 20_000

log = structlog.get_logger("prism.feedback")


class Judging(Collector):
    """Remembers answers and takes what is said of them. Made by `open_judging`.

    Parameters
    ----------
    open_it
        Opens the journal; called in its thread, when the first answer is remembered or judged.
    hear
        Hears of each judgement of an answer that was its arm's own.
    tolerance
        How far off is worth nothing, by model.

    Attributes
    ----------
    kept, said
        What became of answers, by model, and of feedback.
    is_there
        Whether there is a journal to open already.
    all_told
        Returns when what other gateways have answered until now has been told here.
    """

    def __init__(
        self, open_it: Callable[[], Journal], hear: Callable[[Judged], None], tolerance: Tolerance
    ) -> None:
        self.kept: Counter[tuple[str, str]] = Counter()
        self.said: Counter[str] = Counter()
        self.is_there: Callable[[], bool] = lambda: True
        self.all_told: Callable[[], Awaitable[Any]] | None = None
        self._open_it = open_it
        self._hear = hear
        self._tolerance = tolerance
        self._journal: Journal | None = None
        self._held: list[Remembered] = []
        self._due: asyncio.TimerHandle | None = None
        self._writing = self._fails = False
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")

    # --- what is remembered -----------------------------------------------------------

    def remember(self, answer: Remembered) -> None:
        """Take an answer; it is written soon, or is lost where writing takes too long."""
        if len(self._held) >= HELD:
            self.kept[answer.model, "lost"] += 1
            return
        self._held.append(answer)
        self._write_soon()

    def miss(self, missed: Unremembered) -> None:
        """Count answers that were too many at once."""
        self.kept[missed.model, "shed"] += missed.count

    async def forget(self, model: str) -> None:
        """Forget the answers of a model that is gone."""
        waiting = [one for one in self._take() if one.model != model]
        if error := await self._loop.run_in_executor(self._thread, self._forget, waiting, model):
            log.warning("feedback.not_forgotten", model=model, error=error)

    def _write_soon(self) -> None:
        if self._due is None and not self._writing:
            self._due = self._loop.call_later(EVERY_S, self._begin)

    def _begin(self) -> None:
        self._due, self._writing = None, True
        writing = self._loop.run_in_executor(self._thread, self._write, self._take())
        writing.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[str]) -> None:
        self._writing = False
        if done.cancelled():
            return
        self._tell_failure(done.result())
        if self._held:
            self._write_soon()

    def _tell_failure(self, error: str) -> None:
        """Log why answers cannot be written, once until they can be again."""
        if error and not self._fails:
            log.warning("feedback.not_remembered", error=error)
        self._fails = bool(error)

    def _take(self) -> list[Remembered]:
        held, self._held = self._held, []
        return held

    # --- what is said -----------------------------------------------------------------

    async def judge(self, body: bytes, media_type: str, may: May) -> dict[str, Any]:
        """Take feedback; return what came of it.

        Parameters
        ----------
        body, media_type
            As it came.
        may
            Whether its sender may judge an answer.

        Raises
        ------
        PrismError
            If the body is not read at all, or is one item, and that is refused.
        """
        pieces, alone = pieces_of(body, media_type)
        verdicts = Verdicts()
        await self._judge(verdicts, list(enumerate(pieces)), may)
        if self.all_told is not None and (again := verdicts.take_back()):
            await self.all_told()
            await self._judge(verdicts, [(place, pieces[place]) for place in again], may)
        self._tell(verdicts)
        if alone and verdicts.refused:
            raise verdicts.refused[0].error
        return verdicts.document()

    async def _judge(self, verdicts: Verdicts, items: Sequence[tuple[int, bytes]], may: May) -> None:
        work = partial(self._judge_now, self._take(), verdicts, items, may)
        try:
            await self._loop.run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            log.warning("feedback.not_judged", error=str(error))
            raise StorageFailed(
                "The journal of answers cannot be used now.",
                hint="Send it again later; nothing of it counts.",
            ) from error

    def _tell(self, verdicts: Verdicts) -> None:
        told = verdicts.document()
        self.said.update({outcome: told[outcome] for outcome in ("judged", "repeated", "refused")})
        now = time.time()
        for row, reward in verdicts.rewards.values():
            one = row.answer
            # What a fallback has answered says nothing of the arm that did not.
            if one.arm == one.answered:
                self._hear(Judged(now, one.request, one.model, one.revision, one.arm, reward, one.chance))

    # --- in the thread ----------------------------------------------------------------

    def _write(self, answers: Sequence[Remembered]) -> str:
        """Write answers; return why they could not be, "" where they were."""
        try:
            if answers:
                self._use(lambda journal: journal.add(answers))
        except (sqlite3.Error, OSError) as error:
            for one in answers:
                self.kept[one.model, "lost"] += 1
            return str(error)
        for one in answers:
            self.kept[one.model, "kept"] += 1
        return ""

    def _forget(self, waiting: Sequence[Remembered], model: str) -> str:
        """Forget the answers of a model; return why they could not be, "" where they were."""
        self._write(waiting)
        try:
            if self._journal is not None or self.is_there():
                self._use(lambda journal: journal.forget(model))
        except (sqlite3.Error, OSError) as error:
            return str(error)
        return ""

    def _judge_now(
        self, waiting: Sequence[Remembered], verdicts: Verdicts, items: Sequence[tuple[int, bytes]], may: May
    ) -> None:
        def judge(journal: Journal) -> None:
            for place, piece in items:
                verdicts.take(place, piece, journal.find, may, self._tolerance)
            journal.judge([(seq, reward) for seq, (_, reward) in verdicts.rewards.items()])

        self._write(waiting)
        self._use(judge)

    def _use(self, work: Callable[[Journal], None]) -> None:
        """Work with the journal; one that turns out to be broken is put aside, and begun anew next time."""
        journal = self._opened()
        try:
            work(journal)
        except sqlite3.DatabaseError as error:
            if is_broken(error):
                log.error("feedback.journal_broken", error=str(error))
                self._journal = None
                journal.put_aside()
            raise

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = self._open_it()
        return self._journal

    # --- what is known ----------------------------------------------------------------

    async def close(self) -> None:
        """Write what waits, and close the journal."""
        if self._due is not None:
            self._due.cancel()
        self._tell_failure(await self._loop.run_in_executor(self._thread, self._write, self._take()))
        if self._journal is not None:
            await self._loop.run_in_executor(self._thread, self._journal.close)
        self._thread.shutdown()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        kept = CounterMetricFamily(
            "prism_answers_remembered", "Answers that feedback may be about.", labels=("model", "outcome")
        )
        for labels, count in self.kept.copy().items():
            kept.add_metric(labels, count)
        yield kept
        said = CounterMetricFamily("prism_feedback", "Items of feedback.", labels=("outcome",))
        for outcome, count in self.said.items():
            said.add_metric((outcome,), count)
        yield said


@asynccontextmanager
async def open_judging(
    data: Path, settings: FeedbackSettings, hear: Callable[[Judged], None], tolerance: Tolerance
) -> AsyncIterator[Judging]:
    """Take feedback until the end. The journal is there from the first answer on that is remembered."""
    open_it = partial(open_journal, data / FILE, max_bytes=settings.max_size, max_age_s=settings.max_age_s)
    judging = Judging(open_it, hear, tolerance)
    judging.is_there = (data / FILE).exists
    try:
        yield judging
    finally:
        await judging.close()
