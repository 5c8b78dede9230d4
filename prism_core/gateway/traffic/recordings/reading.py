"""Reads recordings: what is there, and the requests in the order in which they came.

Several processes write at once, and a slow request is written behind a quick one that came later. Blocks say
when their first request came, so as many are open as overlap, and no more.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import attrs
import msgspec

from prism_core.gateway.traffic.recordings.exchange import (
    BlockHead,
    Exchange,
    Frame,
    Read,
    SegmentHead,
    data_of,
    decode_block,
    decode_head,
    frames,
)
from prism_core.gateway.traffic.recordings.segments import files_of

# Read in one go where heads are looked for.
HELD_BYTES = 64 * 1024


class Block(msgspec.Struct, frozen=True):
    """A block of a file, by its head."""

    path: Path
    head: BlockHead
    frame: Frame


@attrs.frozen
class Segment:
    """A file. ``torn_bytes`` at its end cannot be read, and are not still being written."""

    path: Path
    head: SegmentHead
    blocks: tuple[Block, ...]
    size_bytes: int
    torn_bytes: int = 0


@attrs.frozen
class Totals:
    """What a recording holds.

    ``since`` and ``until`` are when its first and last request came, None where there is none.
    """

    requests: int = 0
    since: float | None = None
    until: float | None = None
    size_bytes: int = 0
    torn_bytes: int = 0
    redacted: tuple[str, ...] = ()
    dropped: dict[str, int] = attrs.field(factory=dict)


def segments_of(directory: Path, since: float = 0.0) -> Iterator[Segment]:
    """Yield the files of a recording, the oldest first; what cannot be read at all is left out.

    Those that were written to the last time before ``since`` are left out, too.
    """
    for file in files_of(directory):
        with suppress(FileNotFoundError, ValueError):
            if (directory / file.name).stat().st_mtime >= since:
                yield walk(directory / file.name)


def walk(path: Path) -> Segment:
    """Return what a file holds, by its heads.

    Raises
    ------
    ValueError
        If it is no recording.
    """
    with _opened(path) as number:
        written = _is_written(number)
        size = os.fstat(number).st_size
        found = frames(_buffered(number), size)
        head, end = _begun(found)
        blocks = []
        for frame in found:
            blocks.append(Block(path, decode_head(frame.head, BlockHead), frame))
            end = frame.end
    return Segment(path, head, tuple(blocks), size, 0 if written else size - end)


def head_of(path: Path) -> SegmentHead:
    """Return how a file was begun.

    Raises
    ------
    ValueError
        If it is no recording.
    """
    with _opened(path) as number:
        return _begun(frames(_buffered(number), os.fstat(number).st_size))[0]


def totals_of(segments: Iterable[Segment]) -> Totals:
    """Return what several files hold together."""
    found = list(segments)
    heads = [block.head for segment in found for block in segment.blocks]
    kept = [head for head in heads if head.count]
    dropped: Counter[str] = Counter()
    for head in heads:
        dropped.update(head.lost)
    return Totals(
        sum(head.count for head in kept),
        min((head.first for head in kept), default=None),
        max((head.last for head in kept), default=None),
        sum(segment.size_bytes for segment in found),
        sum(segment.torn_bytes for segment in found),
        tuple(sorted({name for segment in found for name in segment.head.redact})),
        dict(dropped),
    )


class Reader:
    """Reads the requests of some files that came in a span of time, in their order.

    Attributes
    ----------
    requests
        How many there are in all blocks that overlap the span: at least so many are yielded, or fewer.
    damaged
        Blocks that could not be read.
    """

    def __init__(self, segments: Iterable[Segment], since: float, until: float) -> None:
        self._since, self._until = since, until
        blocks = [block for segment in segments for block in segment.blocks if block.head.count]
        self._blocks = sorted(filter(self._overlaps, blocks), key=lambda block: block.head.first)
        self.requests = sum(block.head.count for block in self._blocks)
        self.damaged = 0

    def __iter__(self) -> Iterator[Exchange]:
        waiting: list[tuple[float, int, Exchange]] = []
        numbers = count()
        for at, block in enumerate(self._blocks):
            for exchange in self._read(block):
                if self._since <= exchange.at <= self._until:
                    heappush(waiting, (exchange.at, next(numbers), exchange))
            later = self._blocks[at + 1].head.first if at + 1 < len(self._blocks) else self._until
            while waiting and waiting[0][0] <= later:
                yield heappop(waiting)[2]

    def _overlaps(self, block: Block) -> bool:
        return block.head.first <= self._until and block.head.last >= self._since

    def _read(self, block: Block) -> list[Exchange]:
        try:
            with _opened(block.path) as number:
                data = data_of(lambda length, at: os.pread(number, length, at), block.frame)
            return decode_block(block.head, data)
        except (OSError, ValueError):  # it has outlived its bounds meanwhile, or its bytes have changed
            self.damaged += 1
            return []


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with ExitStack() as stack:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, number)
        yield number


def _buffered(number: int) -> Read:
    """Return what reads a file some blocks at a time: small ones are many."""
    begin, held = 0, b""

    def read(length: int, at: int) -> bytes:
        nonlocal begin, held
        if not begin <= at <= at + length <= begin + len(held):
            begin, held = at, os.pread(number, max(length, HELD_BYTES), at)
        return held[at - begin : at - begin + length]

    return read


def _begun(found: Iterator[Frame]) -> tuple[SegmentHead, int]:
    first = next(found, None)
    if first is None:
        raise ValueError("no recording")
    return decode_head(first.head, SegmentHead), first.end


def _is_written(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(number, fcntl.LOCK_UN)
    return False
