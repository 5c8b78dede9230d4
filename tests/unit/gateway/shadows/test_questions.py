"""What waits to be asked of shadows, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.shadows.questions import (
    FRESH_S,
    MOST_BYTES,
    MOST_QUESTIONS,
    OLD_S,
    Pair,
    Question,
    Questions,
)
from prism_core.traffic.comparing import Answer, Tolerance


class Lane:
    """Stands for a lane: nobody asks it anything here."""


LANE: Any = Lane()


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def questions(dropped):
    return Questions(lambda question, why: dropped.append((question.request, why)))


def question(request: str, lane: Any = LANE, size: int = 1, at: float = 0.0) -> Question:
    pair = Pair("m", "m/1", "m/2")
    return Question(pair, lane, Head(), bytes(size), request, 1, "m/1", Answer(body=b""), Tolerance(), at)


def taken(questions, busy=lambda question: False, now=0.0):
    found = questions.take(busy, now)
    return found.request if found else None


def test_the_oldest_comes_first(questions):
    for name in "abc":
        questions.put(question(name))

    assert [taken(questions) for _ in range(4)] == ["a", "b", "c", None]


def test_the_oldest_makes_room_for_the_newest(questions, dropped):
    for number in range(MOST_QUESTIONS + 2):
        questions.put(question(str(number)))

    assert len(questions) == MOST_QUESTIONS
    assert dropped == [("0", "busy"), ("1", "busy")]
    assert taken(questions) == "2"


def test_under_load_there_is_room_again_when_the_oldest_is_old(questions):
    for number in range(MOST_QUESTIONS):
        assert questions.has_room(0.0)
        questions.put(question(str(number), at=0.0))

    assert not questions.has_room(FRESH_S)
    assert questions.has_room(FRESH_S + 0.1)


def test_bytes_are_bounded(questions, dropped):
    for name in "abc":
        questions.put(question(name, size=MOST_BYTES // 2))

    assert dropped == [("a", "busy")]
    assert taken(questions) == "b"
    questions.put(question("d", size=MOST_BYTES // 2))
    assert len(dropped) == 1  # what was taken holds nothing any more


def test_what_waited_too_long_is_not_asked(questions, dropped):
    questions.put(question("a", at=0.0))
    questions.put(question("b", at=OLD_S))

    assert taken(questions, now=OLD_S + 1) == "b"
    assert dropped == [("a", "old")]


def test_who_is_busy_is_left_out(questions):
    other: Any = Lane()
    for name, lane in (("a", LANE), ("b", other)):
        questions.put(question(name, lane))

    assert taken(questions, busy=lambda one: one.lane is LANE) == "b"
    assert taken(questions, busy=lambda one: one.lane is LANE) is None
    assert taken(questions) == "a"


def test_shadows_take_turns(questions):
    """One that is slow must not keep the others from their questions."""
    other: Any = Lane()
    for name in ("a1", "a2", "a3"):
        questions.put(question(name, LANE))
    for name in ("b1", "b2"):
        questions.put(question(name, other))

    assert [taken(questions) for _ in range(5)] == ["a1", "b1", "a2", "b2", "a3"]


def test_what_nobody_wants_any_more_is_forgotten(questions, dropped):
    questions.put(question("a", size=MOST_BYTES // 2))
    questions.put(question("b", size=MOST_BYTES // 2))
    questions.keep(lambda one: one.request == "b")
    questions.put(question("c", size=MOST_BYTES // 2))

    assert [taken(questions) for _ in range(3)] == ["b", "c", None]
    assert dropped == []
