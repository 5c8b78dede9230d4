"""When something that fails is asked again: a circuit breaker. Pure: no clock, no I/O.

Closed, everything goes through. After a few failures in a row it is open, and nothing goes
through until a pause has passed; then it is half open, and one call tries. If that works it
is closed again; if not, the next pause is twice as long.
"""

from __future__ import annotations

from enum import StrEnum

import attrs


class Circuit(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@attrs.define
class Breaker:
    """A circuit breaker. ``now`` is monotonic seconds.

    Calls need no ticket: a late answer to a call from before it opened changes nothing while
    it is open, and counts like the trial's while that runs.

    Parameters
    ----------
    patience
        Failures in a row that open it.
    first_s, longest_s
        The first pause, and the bound of its doubling.
    """

    patience: int = 5
    first_s: float = 0.5
    longest_s: float = 2.0
    state: Circuit = attrs.field(default=Circuit.CLOSED, init=False)
    failures: int = attrs.field(default=0, init=False)
    _pause_s: float = attrs.field(default=0.0, init=False)
    _until: float = attrs.field(default=0.0, init=False)

    def allows(self, now: float) -> bool:
        """Return whether a call may go through; where that is the trial, the next may not."""
        if self.state is Circuit.CLOSED:
            return True
        if now < self._until:
            return False
        # Half open it also ends: a trial whose caller went away says nothing, and another follows.
        self.state = Circuit.HALF_OPEN
        self._until = now + self._pause_s
        return True

    def succeeded(self) -> None:
        """Hear that a call worked."""
        if self.state is not Circuit.OPEN:
            self.state = Circuit.CLOSED
            self.failures = 0
            self._pause_s = 0.0

    def failed(self, now: float) -> None:
        """Hear that a call failed."""
        if self.state is Circuit.OPEN:
            return
        self.failures += 1
        if self.state is Circuit.HALF_OPEN or self.failures >= self.patience:
            self.state = Circuit.OPEN
            self._pause_s = min(self.longest_s, self._pause_s * 2 or self.first_s)
            self._until = now + self._pause_s
