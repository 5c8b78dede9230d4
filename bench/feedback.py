"""What remembering answers costs: ``python -m bench.feedback``.

The tap of a routed request, where its answer is remembered and where it is one too many; the journal,
for each answer and for each that is judged; and a gateway that is offered 40,000 answers a second for ten
seconds: processor time and memory, beside one that remembers nothing.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil

from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic.journal import FILE, open_journal
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.judging import open_judging
from prism_core.gateway.traffic.kinds import Remembered, RoutedCall
from prism_core.gateway.traffic.remembering import MOST_A_SECOND, Remembering
from prism_core.gateway.traffic.routed import Routed, Tap
from prism_core.gateway.traffic.sender import NOBODY
from prism_core.settings import FeedbackSettings
from prism_core.traffic.feedback import Feedback
from prism_core.traffic.route import Route

ANSWER = b'{"model":"churn","version":4,"predictions":["stays"],"probabilities":[[0.93,0.07]]}'
OFFERED, SECONDS, TICK_S = 40_000, 10, 0.01


def tap_of(remembering: Remembering) -> Tap:
    """Return the tap of a route of two shares."""
    shares = {"churn/3": 50.0, "churn/4": 50.0}
    routed = SimpleNamespace(route=Route(feedback=Feedback()), model="churn", shares=shares, lanes={})
    tap = remembering.tap(cast(Routed, routed))
    assert tap is not None
    return tap


def ended(number: int) -> Ended:
    """Return a request that was answered."""
    request = f"0123456789ab-{number}"
    call = RoutedCall(time.time(), request, "churn", 7, "churn/4", "churn/4", 200, "ok", 0.001)
    prediction = Prediction(ANSWER, "application/json", "churn", 4, 1)
    return Ended(Head(), b"", NOBODY, None, prediction, call)


def microseconds(call: Callable[[], Any], times: int) -> float:
    """Return how long one of many calls takes."""
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times * 1e6


async def taps() -> None:
    """Measure the tap: an answer that is remembered, and one that is too many."""
    kept: list[Any] = []
    one = ended(1)
    # A clock that moves on lets everything in, one that stands still the first so many.
    moving = iter(range(0, 10**9, 2))
    remembered = tap_of(Remembering(kept.append, lambda: float(next(moving))))
    shed = tap_of(Remembering(kept.append, lambda: 1.0))
    for _ in range(MOST_A_SECOND):
        shed(one)
    print(f"tap, remembered: {microseconds(lambda: remembered(one), 50_000):.2f} us")
    print(f"tap, too many:   {microseconds(lambda: shed(one), 50_000):.2f} us")


def journal(directory: Path) -> None:
    """Measure the journal: answers written in batches as they come, and judged."""
    path = directory / FILE
    opened = open_journal(path, max_bytes=1 << 30, max_age_s=1e6)
    count, batch = 200_000, 500
    answers = [
        Remembered(
            time.time(), f"0123456789ab-{n}", "churn", 7, "churn/4", "churn/4", 0.5, "", "label", ANSWER
        )
        for n in range(count)
    ]
    begun = time.perf_counter()
    for start in range(0, count, batch):
        opened.add(answers[start : start + batch])
    written = time.perf_counter() - begun
    begun = time.perf_counter()
    rows = [opened.find(f"0123456789ab-{n}")[0].seq for n in range(0, count, 100)]
    opened.judge([(seq, 1.0) for seq in rows])
    judged = time.perf_counter() - begun
    opened.close()
    print(
        f"journal, written: {written / count * 1e6:.1f} us, {path.stat().st_size / count:.0f} bytes an answer"
    )
    print(f"journal, judged:  {judged / len(rows) * 1e6:.1f} us")


async def offered(directory: Path | None) -> None:
    """Offer answers at a steady pace; tell the processor time and how much memory has grown."""
    process = psutil.Process()
    settings = FeedbackSettings()
    async with open_judging(directory or Path(), settings, lambda judged: None, lambda model: 0.0) as judging:
        hear: Any = judging.remember
        remembering = Remembering(lambda record: hear(record) if isinstance(record, Remembered) else None)
        tap = tap_of(remembering) if directory else lambda one: None
        before, spent = process.memory_info().rss, _spent()
        until = asyncio.get_running_loop().time()
        for _ in range(int(SECONDS / TICK_S)):
            until += TICK_S
            for number in range(int(OFFERED * TICK_S)):
                tap(ended(number))
            await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
        grown = (process.memory_info().rss - before) / 1e6
        what = "remembering" if directory else "nothing"
        print(f"{OFFERED} answers a second, {what}: {_spent() - spent:.2f} s of {SECONDS} s, {grown:+.1f} MB")


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="prism-feedback-") as directory:
        asyncio.run(taps())
        journal(Path(directory))
        (Path(directory) / FILE).unlink()
        asyncio.run(offered(None))
        asyncio.run(offered(Path(directory)))


if __name__ == "__main__":
    main()
