"""What callers have used of their quotas. Counting is a dict's work; keeping it is done lazily.

A gateway counts what it answers. What others have answered it is told, so with several
gateways a total is right but for the last second. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping


class Tally:
    """Totals by caller id.

    Parameters
    ----------
    totals
        What was used before.
    """

    def __init__(self, totals: Mapping[str, int] | None = None) -> None:
        self._known: dict[str, int] = dict(totals or {})
        self._new: Counter[str] = Counter()

    def spent(self, caller: str) -> int:
        """Return what a caller has used in all, as far as is known here."""
        return self._known.get(caller, 0) + self._new[caller]

    def spend(self, caller: str, count: int = 1) -> None:
        """Count what a caller uses."""
        self._new[caller] += count

    def take(self) -> dict[str, int]:
        """Return what was counted since this was last asked."""
        new, self._new = self._new, Counter()
        for caller, count in new.items():
            self._known[caller] = self._known.get(caller, 0) + count
        return {caller: count for caller, count in new.items() if count}

    def learn(self, totals: Mapping[str, int]) -> None:
        """Take totals that count what all gateways have reported; they never fall."""
        for caller, total in totals.items():
            self._known[caller] = max(total, self._known.get(caller, 0))

    def totals(self, callers: Iterable[str] | None = None) -> dict[str, int]:
        """Return the totals of ``callers``, None for all of them."""
        chosen = self._known.keys() | self._new.keys() if callers is None else callers
        return {caller: self.spent(caller) for caller in chosen}

    def forget(self, caller: str) -> None:
        """Forget a caller that is no more."""
        self._known.pop(caller, None)
        self._new.pop(caller, None)
