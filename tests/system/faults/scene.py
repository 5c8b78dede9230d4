"""A scene: one fault, played on real processes, and what was seen of it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import attrs
import pytest
from _pytest.mark import ParameterSet

from tests.system.faults.load import Load
from tests.system.faults.stage import Stage

NOTHING = "nothing"


@attrs.frozen
class Seen:
    """What a fault did: a row of the table.

    Parameters
    ----------
    caller
        What callers saw.
    lost
        What was lost of that which had been accepted.
    healthy_s
        How long until everything was as before; nan where it never was otherwise.
    """

    caller: str
    lost: str = NOTHING
    healthy_s: float = math.nan


Play = Callable[[Stage], Awaitable[Seen]]


@attrs.frozen
class Scene:
    """A fault. ``slow``: only in `make test-all`."""

    name: str
    play: Play
    slow: bool = False

    def run(self, stage: Stage) -> Seen:
        """Play it, on an event loop of its own."""
        try:
            import uvloop
        except ImportError:
            return asyncio.run(self._play(stage))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._play(stage))

    async def _play(self, stage: Stage) -> Seen:
        return await self.play(stage)


def scenes(*found: tuple[str, Play] | tuple[str, Play, str]) -> tuple[Scene, ...]:
    """Return scenes of names and plays; a third word ``slow`` marks those."""
    return tuple(Scene(one[0], one[1], slow=len(one) > 2) for one in found)


def told(outcomes: Counter[str]) -> str:
    """Return outcomes in words, the most frequent first."""
    return ", ".join(f"{count:,} × {what}" for what, count in outcomes.most_common())


def all_answered(load: Load) -> str:
    """Return what callers saw where every request was answered rightly; fails where one was not."""
    outcomes = load.outcomes()
    assert set(outcomes) == {"200"}, outcomes
    return f"all {outcomes['200']:,} requests answered; the slowest took {load.slowest_s() * 1000:.0f} ms"


def parameters(found: Iterable[Scene]) -> list[ParameterSet]:
    """Return scenes as parameters of a test; slow ones only in the sweep."""
    marks = {True: [pytest.mark.sweep], False: []}
    return [pytest.param(one, id=one.name.replace("`", ""), marks=marks[one.slow]) for one in found]
