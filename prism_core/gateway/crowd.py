"""How many calls may be in flight at once: as many as are answered within the latency objective. Pure.

A quick model's queue never fills its own bound of rows: under overload the calls wait in
sockets and buffers, seconds long, and nothing is refused. So a lane measures the rate at
which it answers when it is crowded, and by Little's law (in flight = rate x time; Little,
Operations Research 9:3, 1961) takes no more calls than that rate answers in half of the
objective: the other half is for the sockets on both sides.
"""

from __future__ import annotations

from prism_core.errors import Overloaded
from prism_core.manifest import Batching

# So many calls may always be in flight, however slow the model; and only a lane with more of
# them is at its limit, so that its rate is its capacity.
FEW = 64
# A rate is that of at least so many answers in so long: answers come in bursts, a batch each.
ANSWERS = 256
WINDOW_S = 0.1
# The best rate counts, and is forgotten slowly (five seconds): a gateway that is busy refusing
# answers less, which must not be taken for the model's capacity.
FORGET = 0.02
SHARE = 0.5
# After a replica was lost, or a call had to wait for one, calls may wait beyond the objective for so
# long: what has come meanwhile is worked off, and refusing would turn a restart into an outage.
LENIENT_S = 2.0


class Crowd:
    """The bound on the calls in flight of one version.

    Parameters
    ----------
    model
        Its name, for the refusal.
    batching
        ``latency_slo_ms`` is the objective, 0 for none; ``max_queue_rows`` bounds the calls
        whatever is measured.

    Attributes
    ----------
    bound
        Calls that may be in flight; one more is refused with ``refusal``.
    """

    def __init__(self, model: str, batching: Batching) -> None:
        self.bound = max(FEW, batching.max_queue_rows)
        # One for all: when thousands are refused a second, making each its own would be most of the work.
        self.refusal = Overloaded(
            f"{model!r} has as many calls in flight as it answers within its latency objective.",
            hint="Try again after `Retry-After`, raise latency_slo_ms, or add replicas.",
            details={"retry_after_s": 1.0},
        )
        self._most = self.bound
        self._aim_s = batching.latency_slo_ms / 1000 * SHARE
        self._rate = 0.0
        self._answers = 0
        self._since = 0.0
        self._lenient_until = 0.0

    def be_lenient(self, now: float) -> None:
        """Take all that ``max_queue_rows`` allows for a while: ``now`` there is a replica too few."""
        self.bound = self._most
        self._lenient_until = now + LENIENT_S

    def is_lenient(self, now: float) -> bool:
        """Return whether calls may wait beyond the objective ``now``."""
        return now < self._lenient_until

    def answered(self, ahead: int, now: float) -> None:
        """Learn from a call that came behind ``ahead`` others and was answered ``now``, in seconds."""
        if ahead <= FEW:
            self._answers = 0
            return
        if not self._answers:
            self._since = now
        self._answers += 1
        span = now - self._since
        if self._answers > ANSWERS and span >= WINDOW_S and self._aim_s:
            seen = (self._answers - 1) / span
            self._rate = max(seen, self._rate + FORGET * (seen - self._rate))
            self._answers = 0
            if not self.is_lenient(now):
                self.bound = min(self._most, max(FEW, int(self._rate * self._aim_s)))
