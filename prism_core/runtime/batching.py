"""Group waiting requests while the model is busy; never make an idle model wait.

A policy of pure values: no clock, no event loop, no model. The engine says what arrived
and what time it is, and is told what to execute next.

Rows count, not requests. Unlike requests (other types, shapes, outputs or parameters)
never meet. The earliest deadline goes first. A request larger than the cap is taken in
short parts, in turn with all others: nobody waits behind the whole of it, or finds the
queue full because of it. The cap moves by AIMD (additive increase, multiplicative decrease, as Clipper does:
Crankshaw et al., NSDI 2017, section 4.3) so that one execution stays within the
objective.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Any

import msgspec

from prism_core.errors import Overloaded
from prism_core.manifest import Batching

# Where the cap begins: large enough not to matter for quick models, small enough that a
# slow one misses its objective only once or twice while it is learned.
FIRST_CAP_ROWS = 64
INCREASE_ROWS = 32
DECREASE = 0.7
# How long a part of a large request should take: the others wait for it.
PART_S = 0.002
# Weight of the newest measurement in the moving averages.
SMOOTHING = 0.2


class Waiting(msgspec.Struct, eq=False):
    """One request in the queue.

    ``kind`` is equal for requests that may be joined; None may be joined with nothing and
    is never split. ``deadline`` is on the caller's monotonic clock, infinity for none. ``large``
    is set where it arrived with more rows than the cap.
    """

    payload: Any
    rows: int
    kind: Hashable | None
    deadline: float
    arrived: float
    taken: int = 0
    dropped: bool = False
    large: bool = False


class Part(msgspec.Struct, frozen=True, eq=False):
    """Rows ``start:stop`` of a request, to be executed now."""

    request: Waiting
    start: int
    stop: int

    @property
    def whole(self) -> bool:
        """Whether this is all of the request."""
        return self.start == 0 and self.stop == self.request.rows


class BatchQueue:
    """Requests that wait for the model, and the choice of what it computes next."""

    def __init__(self, batching: Batching) -> None:
        self.batching = batching
        adaptive = batching.latency_slo_ms > 0
        self.cap_rows = min(batching.max_batch_rows, FIRST_CAP_ROWS) if adaptive else batching.max_batch_rows
        self.waiting_rows = 0
        self.large_rows = 0
        self.execution_s = 0.0
        self._heaps: dict[Hashable, list[tuple[float, int, Waiting]]] = {}
        self._large: list[tuple[float, int, Waiting]] = []
        self._turn = False
        self._part_rows = 0
        self._learns = False
        self._order = itertools.count()

    def offer(self, request: Waiting) -> None:
        """Let a request wait.

        Large requests and all others have the room of the whole queue each; one that is larger
        than that is taken while no other large one waits.

        Raises
        ------
        Overloaded
            If the queue is full; ``details["retry_after_s"]`` is when there should be room.
        """
        request.large = request.rows > self.cap_rows and request.kind is not None
        rows = self.large_rows if request.large else self.waiting_rows - self.large_rows
        if rows and rows + request.rows > self.batching.max_queue_rows:
            raise Overloaded(
                f"{rows} rows are waiting; the queue takes {self.batching.max_queue_rows}.",
                hint="Try again after `Retry-After`, or raise max_queue_rows or the number of replicas.",
                details={"retry_after_s": self.retry_after_s()},
            )
        heap = self._large
        if request.large:
            self.large_rows += request.rows
        else:
            kind = request.kind if request.kind is not None else request
            heap = self._heaps.setdefault(kind, [])
        heapq.heappush(heap, (request.deadline, next(self._order), request))
        self.waiting_rows += request.rows

    def drop(self, request: Waiting) -> None:
        """Forget a request: nobody waits for it, or one of its parts has failed. Dropping twice is fine."""
        if not request.dropped:
            request.dropped = True
            self._less(request, request.rows - request.taken)

    def expire(self, now: float) -> list[Waiting]:
        """Drop and return the requests whose deadline has passed."""
        expired = []
        for heap in (self._large, *self._heaps.values()):
            while heap and (heap[0][2].dropped or heap[0][0] <= now):
                request = heapq.heappop(heap)[2]
                if not request.dropped:
                    self.drop(request)
                    expired.append(request)
        self._sweep()
        return expired

    def due(self, now: float) -> float | None:
        """Return how many seconds an idle model should still wait; 0.0: execute now; None: nothing waits."""
        if not self.waiting_rows:
            return None
        delay_s = self.batching.max_delay_ms / 1000
        if not delay_s or self._large or self.waiting_rows >= self.cap_rows:
            return 0.0
        oldest = min(r.arrived for heap in self._heaps.values() for _, _, r in heap if not r.dropped)
        return max(0.0, oldest + delay_s - now)

    def take(self) -> list[Part]:
        """Return the next batch: parts of one kind, at most ``cap_rows`` rows; [] if nothing waits."""
        if not self._large:
            return self._joined()
        self._turn = not self._turn
        if self._turn:
            return self._part_of_large() or self._joined()
        return self._joined() or self._part_of_large()

    def _joined(self) -> list[Part]:
        heap = self._most_urgent()
        if heap is None:
            return []
        parts: list[Part] = []
        room = self.cap_rows
        while heap and room > 0:
            request = heap[0][2]
            if request.dropped:
                heapq.heappop(heap)
                continue
            left = request.rows - request.taken
            if left > room and parts and request.taken == 0 and left <= self.cap_rows:
                break  # it fits into the next batch whole: splitting would only cost its caller
            size = left if request.kind is None else min(left, room)
            parts.append(Part(request, request.taken, request.taken + size))
            request.taken += size
            self._less(request, size)
            room -= size
            if request.taken == request.rows:
                heapq.heappop(heap)
        self._sweep()
        return parts

    def executed(self, rows: int, compute_s: float) -> None:
        """Learn from an execution of ``rows`` rows that took ``compute_s`` seconds."""
        if self._learns:
            self._learns = False
            # It may have been an unusual one: the next has at most twice and at least half its rows.
            fitting = int(rows * PART_S / max(compute_s, 1e-6))
            self._part_rows = max(1, rows // 2, min(fitting, rows * 2))
        previous = self.execution_s or compute_s
        self.execution_s = previous + SMOOTHING * (compute_s - previous)
        objective_s = self.batching.latency_slo_ms / 1000
        if objective_s <= 0:
            return
        if compute_s > objective_s and rows > 1:
            self.cap_rows = max(1, int(min(rows, self.cap_rows) * DECREASE))
        elif rows >= self.cap_rows:
            self.cap_rows = min(self.batching.max_batch_rows, self.cap_rows + INCREASE_ROWS)

    def retry_after_s(self) -> float:
        """Return the seconds in which what waits now should have been computed."""
        return max(0.001, self.execution_s * (1 + self.waiting_rows / max(1, self.cap_rows)))

    def _part_of_large(self) -> list[Part]:
        while self._large and self._large[0][2].dropped:
            heapq.heappop(self._large)
        if not self._large:
            return []
        request = self._large[0][2]
        left = request.rows - request.taken
        size = min(left, self._part_rows or self.cap_rows, self.cap_rows)
        self._learns = size < left  # a short last part says little
        part = Part(request, request.taken, request.taken + size)
        request.taken += size
        self._less(request, size)
        if size == left:
            heapq.heappop(self._large)
        return [part]

    def _less(self, request: Waiting, rows: int) -> None:
        self.waiting_rows -= rows
        if request.large:
            self.large_rows -= rows

    def _most_urgent(self) -> list[tuple[float, int, Waiting]] | None:
        best = None
        for heap in self._heaps.values():
            while heap and heap[0][2].dropped:
                heapq.heappop(heap)
            if heap and (best is None or heap[0][:2] < best[0][:2]):
                best = heap
        return best

    def _sweep(self) -> None:
        for kind in [kind for kind, heap in self._heaps.items() if not heap]:
            del self._heaps[kind]
