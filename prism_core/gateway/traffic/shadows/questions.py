"""What shadows are still to be asked. Bounded: where there is no room the oldest goes, if it is old."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from prism_core.gateway.prediction import Head
from prism_core.traffic.comparing import Answer, Tolerance

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

MOST_QUESTIONS = 256
MOST_BYTES = 16 * 1024 * 1024
# What is older says little of how it is now.
OLD_S = 30.0
# What is younger need not make room for others: under load that would be much work for nothing.
FRESH_S = 1.0


@attrs.frozen(order=True)
class Pair:
    """Two versions whose answers are compared: a model's, the one that answered, and its shadow."""

    model: str
    live: str
    shadow: str


@attrs.frozen(eq=False, slots=True)
class Question:
    """A request that was answered and is asked again.

    ``at`` is when it was answered, on the monotonic clock, ``answer`` the live one.
    """

    pair: Pair
    lane: Lane
    head: Head
    body: bytes
    request: str
    revision: int
    arm: str
    answer: Answer
    tolerance: Tolerance
    at: float

    @property
    def size_bytes(self) -> int:
        """What it holds."""
        return len(self.body) + len(self.answer.body)


@attrs.define(eq=False)
class Questions:
    """Questions that wait, the oldest first.

    Parameters
    ----------
    dropped
        Called with each that goes unasked, and why.
    """

    dropped: Callable[[Question, str], None]
    _waiting: deque[Question] = attrs.field(factory=deque)
    _bytes: int = 0
    _turn: Iterator[int] = attrs.field(factory=lambda: count(1))
    _turns: WeakKeyDictionary[Lane, int] = attrs.field(factory=WeakKeyDictionary)

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, now: float) -> bool:
        """Return whether another one may wait."""
        full = len(self._waiting) >= MOST_QUESTIONS
        return not full or now - self._waiting[0].at > FRESH_S

    def put(self, question: Question) -> None:
        """Let a question wait; the oldest ones make room for it."""
        self._waiting.append(question)
        self._bytes += question.size_bytes
        while len(self._waiting) > MOST_QUESTIONS or self._bytes > MOST_BYTES:
            self.dropped(self._remove(0), "busy")

    def take(self, busy: Callable[[Question], bool], now: float) -> Question | None:
        """Return the oldest question of the shadow that was asked the longest ago and is not ``busy``."""
        while self._waiting and now - self._waiting[0].at > OLD_S:
            self.dropped(self._remove(0), "old")
        first: dict[Lane, int] = {}
        for at, question in enumerate(self._waiting):
            if question.lane not in first and not busy(question):
                first[question.lane] = at
        if not first:
            return None
        lane = min(first, key=lambda lane: self._turns.get(lane, 0))
        self._turns[lane] = next(self._turn)
        return self._remove(first[lane])

    def keep(self, wanted: Callable[[Question], bool]) -> None:
        """Forget those that nobody wants to be asked any more."""
        self._waiting = deque(filter(wanted, self._waiting))
        self._bytes = sum(question.size_bytes for question in self._waiting)

    def _remove(self, at: int) -> Question:
        question = self._waiting[at]
        del self._waiting[at]
        self._bytes -= question.size_bytes
        return question
