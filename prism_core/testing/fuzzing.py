"""Throw damaged bytes at a reader: whatever comes in, it answers, or refuses with an error of its own.

Good inputs are damaged at random, thousands of times, from a fixed seed. An input that is
refused at a new place is kept and damaged further, so that the search goes on behind
what has been found. For example::

    report = fuzz(lambda body: read(memoryview(body)), [b"good", b"better"], cases=5000)
    assert report.refused < report.cases
"""

from __future__ import annotations

import gc
import logging
import random
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType

import attrs
import psutil
import pytest

from prism_core.errors import PrismError

# Of the interpreter's own time, so that other work on the machine changes nothing.
DEADLINE_S = 2.0
# Inputs that are kept because they were refused at a new place.
KEPT = 2000
# Inputs with which it is tried whether memory grows, how often, and by how much it may.
REPEATED, ROUNDS, LEAK_BYTES = 200, 4, 128 * 1024
# Memory outside of the interpreter's sight: how much the process may grow after its first half.
GROWTH_BYTES = 96 * 1024 * 1024

# Numbers that programs forget: around zero and the ends of every width.
EDGES = [0, 1, 2, 255, 256, *(2**bits - 1 + more for bits in (7, 15, 16, 31, 32, 63, 64) for more in (0, 1))]
TOKENS = [
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r\n", b'"', b"\\", b",", b"[", b"{", b"]", b"}",
    b"-1", b"1e999", b"NaN", b"9" * 400, b"..", b"/", b"%00", b"null", b"true",
]  # fmt: skip


class Hang(BaseException):
    """A case took longer than it may. No `Exception`: what is tried might catch that."""


@attrs.frozen
class Report:
    """What came of it.

    ``refused`` cases ended with an error that is allowed; ``places`` is at how many different
    ones. ``slowest_s`` is processor time. ``grown_bytes`` is what the process grew by in the second half.
    """

    cases: int
    refused: int
    places: int
    slowest_s: float
    grown_bytes: int


def fuzz(
    call: Callable[[bytes], object],
    seeds: Sequence[bytes],
    *,
    cases: int,
    allowed: tuple[type[Exception], ...] = (PrismError,),
    tokens: Sequence[bytes] = (),
    seed: int = 0,
    deadline_s: float = DEADLINE_S,
) -> Report:
    """Call ``call`` with ``cases`` damaged inputs; the test fails at the first that is not taken well.

    Parameters
    ----------
    seeds
        Good inputs.
    allowed
        What may be raised.
    tokens
        Pieces of the format, beside the usual ones, to be put in anywhere.
    deadline_s
        Processor time that a case may take.
    """
    chance, begun = random.Random(seed), 0
    search = _Search(call, allowed, list(seeds), [*TOKENS, *tokens], deadline_s)
    with _silence():
        for one in seeds:
            search.take(one)
        for at in range(cases - len(seeds)):
            search.take(search.damaged(chance))
            if at == cases // 2:
                begun = _resident_bytes()
        grown = _resident_bytes() - begun
        assert grown < GROWTH_BYTES, f"the process grew by {grown} bytes in the second half of the cases"
        _assert_no_leak(search)
    return Report(search.cases, search.refused, len(search.places), search.slowest_s, grown)


def damage(body: bytes, chance: random.Random, tokens: Sequence[bytes] = TOKENS, other: bytes = b"") -> bytes:
    """Return ``body`` with one damage, or some; ``other`` is something to splice in."""
    data = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        at = chance.randrange(len(data) + 1)
        length = min(chance.choice((1, 2, 4, 8, 32)), len(data) - at)
        match chance.randrange(9):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 3 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 4:
                data[at:at] = chance.choice(tokens)
            case 5:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 40))
            case 6:
                _put_number(data, at, chance)
            case 7:
                data[at:] = other[chance.randrange(len(other) + 1) :]
            case _:
                data[at : at + length] = chance.choice(tokens)
    return bytes(data)


def _put_number(data: bytearray, at: int, chance: random.Random) -> None:
    number, width = chance.choice(EDGES), chance.choice((1, 2, 4, 8))
    written = (number % 256**width).to_bytes(width, chance.choice(("little", "big")))
    data[at : at + width] = written if chance.random() < 0.7 else b"%d" % number


@attrs.define
class _Search:
    """Tries inputs, and remembers those that led somewhere new."""

    call: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: list[bytes]
    tokens: list[bytes]
    deadline_s: float
    kept: list[bytes] = attrs.field(factory=list)
    places: set[tuple[object, ...]] = attrs.field(factory=set)
    cases: int = 0
    refused: int = 0
    slowest_s: float = 0.0

    def damaged(self, chance: random.Random) -> bytes:
        # Good inputs are the more fruitful ones: what is damaged twice is mostly refused at once.
        bases = self.kept if self.kept and chance.random() < 0.3 else self.seeds
        return damage(chance.choice(bases), chance, self.tokens, chance.choice(self.seeds))

    def take(self, body: bytes) -> None:
        self.cases += 1
        begun = time.process_time()
        try:
            with deadline(self.deadline_s):
                self.call(body)
        except self.allowed as error:
            self.refused += 1
            self._remember(error, body)
        except (Exception, Hang) as error:
            pytest.fail(f"case {self.cases}: {_shown(body)} raised {error!r}\n{_lines(error)}")
        took_s = time.process_time() - begun
        assert took_s < self.deadline_s, f"case {self.cases}: {_shown(body)} took {took_s:.1f} s"
        self.slowest_s = max(self.slowest_s, took_s)

    def _remember(self, error: Exception, body: bytes) -> None:
        place = (type(error), *_places(error.__traceback__))
        if place not in self.places:
            self.places.add(place)
            if len(self.kept) < KEPT:
                self.kept.append(body)


@contextmanager
def _silence() -> Iterator[None]:
    """Log nothing in the block: pytest keeps what is logged, which would look like a leak."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def deadline(seconds: float = DEADLINE_S) -> Iterator[None]:
    """Raise `Hang` in the block when it has used so much processor time."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _places(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _lines(error: BaseException) -> str:
    return "\n".join(f"{path}:{line}" for path, line in _places(error.__traceback__))


def _shown(body: bytes) -> str:
    return repr(body) if len(body) <= 2000 else f"{body[:2000]!r}... ({len(body)} bytes)"


def _resident_bytes() -> int:
    gc.collect()
    resident: int = psutil.Process().memory_info().rss
    return resident


def _assert_no_leak(search: _Search) -> None:
    """Try the same inputs again and again: after the first time nothing new is to be remembered."""
    inputs = [*search.seeds, *search.kept[-REPEATED:]]

    def repeat() -> int:
        for body in inputs:
            try:
                search.call(body)
            except search.allowed:
                continue
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        repeat()
        first, *_, last = (repeat() for _ in range(ROUNDS))
    finally:
        tracemalloc.stop()
    # What was asked last may still be held: its body, and what came of it.
    kept = LEAK_BYTES + 2 * max(map(len, inputs))
    assert last - first < kept, f"the same {len(inputs)} inputs again cost {last - first} bytes"
