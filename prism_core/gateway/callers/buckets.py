"""Token buckets, one number each. Pure: no clock, no I/O.

The number is the moment at which a subject's bucket is full again (GCRA calls it the
theoretical arrival time). A request moves it on by the time in which one is earned, and is
let in while the bucket is not further from full than it is large. So nothing has to be
refilled, and a subject that is not known is one whose bucket is full.
"""

from __future__ import annotations

from prism_core.rates import Rate

# Subjects of a generation; there are two.
SUBJECTS = 16_384
# Sums of many small times are a little off: a millionth of a request is no request.
SLACK = 1e-6


class Pace:
    """How fast a bucket fills and how much it holds, computed once."""

    __slots__ = ("burst", "interval_s", "most_s")

    def __init__(self, interval_s: float, burst: int) -> None:
        self.interval_s = interval_s
        self.burst = burst
        # How far from full a bucket may be for one more to come in.
        self.most_s = (burst - 1 + SLACK) * interval_s

    @classmethod
    def of(cls, rate: Rate) -> Pace:
        """Return the pace of a rate."""
        return cls(rate.interval_s, rate.burst)

    def wait_s(self, ahead_s: float) -> float:
        """Return 0.0 if a request may come in where the bucket is full in ``ahead_s``, else when it may."""
        over_s = ahead_s - self.most_s
        return over_s if over_s > 0 else 0.0

    def state(self, ahead_s: float) -> tuple[int, float]:
        """Return how many requests are in a bucket, and when there is one more; 0.0 where it is full."""
        interval_s = self.interval_s
        left = int(self.burst - ahead_s / interval_s + SLACK)
        if left > 0:
            return left, (ahead_s % interval_s or interval_s) if ahead_s > 0 else 0.0
        return 0, ahead_s - self.most_s


class Buckets:
    """Buckets by subject, never more than twice ``most``.

    Subjects are kept in two generations. When the younger is full, or as old as any of its
    buckets takes to fill, the older is dropped. In the second case nothing of it mattered any
    more; in the first somebody makes up subjects, and those that were silent for longest start
    anew. Nothing ever walks over all of them.
    """

    __slots__ = ("_began", "_horizon_s", "_most", "_old", "_young")

    def __init__(self, most: int = SUBJECTS) -> None:
        self._most = most
        self._horizon_s = 0.0
        self._began = 0.0
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}

    def ahead_s(self, subject: str, now: float) -> float:
        """Return in how many seconds the bucket is full."""
        full_at = self._young.get(subject)
        if full_at is None:
            full_at = self._old.get(subject, now)
        return full_at - now if full_at > now else 0.0

    def set_ahead(self, subject: str, now: float, ahead_s: float) -> None:
        """Say in how many seconds the bucket is full."""
        if ahead_s > self._horizon_s:
            self._horizon_s = ahead_s
        if len(self._young) >= self._most or now - self._began > self._horizon_s:
            self._old, self._young, self._began = self._young, {}, now
        self._young[subject] = now + ahead_s

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
