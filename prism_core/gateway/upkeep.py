"""What is to be done about a tunnel, and when. Pure: no clock, no socket, no event loop.

A tunnel is tried, comes up, is lost, or is refused; `tried`, `up`, `lost` and `refused` are what is
told about it then. `Patience` says how long to wait, `Look` what has happened to the machine meanwhile.
"""

from __future__ import annotations

from typing import Literal

import attrs

from prism_core.errors import PrismError
from prism_core.gateway.views import TunnelInfo


@attrs.frozen
class Patience:
    """How long things around a tunnel may take, and how often they are tried.

    Parameters
    ----------
    first_s, longest_s
        Between two tries: the shortest wait, and that which no number of failures exceeds.
    away_s
        The longest wait where nobody was reached: the network is away, and it may be back at any moment.
    settled_s
        Who was up for so long has a clean record when it is lost.
    publish_s, reach_s
        A link provider has so long to publish; then the public address has so long to answer.
    probe_s, calm_probe_s
        Between two probes of what is up; the longer one where the provider notices itself that it is gone.
    again_s, misses
        After a probe without an answer the next comes sooner; so many of them in a row are the end.
    withdraw_s, health_s
        What a link provider has for the rest.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    away_s: float = 3.0
    settled_s: float = 10.0
    publish_s: float = 60.0
    reach_s: float = 60.0
    probe_s: float = 30.0
    calm_probe_s: float = 300.0
    again_s: float = 2.0
    misses: int = 2
    withdraw_s: float = 5.0
    health_s: float = 5.0

    def failures(self, before: int, up_s: float) -> int:
        """Return the failures in a row, this one included, of what was up for ``up_s`` seconds."""
        return 0 if up_s >= self.settled_s else before + 1

    def delay_s(self, failures: int, chance: float, *, reached: bool = True) -> float:
        """Return how long to wait before the next try.

        What has worked for long is tried again at once. ``chance`` in [0, 1) spreads the wait over the upper
        half of itself, so that all who have lost one relay do not come back in one moment.
        """
        if failures <= 0:
            return 0.0
        longest_s = self.longest_s if reached else self.away_s
        most = min(longest_s, 2 * self.first_s * 2.0 ** min(failures - 1, 30))
        return most * (0.5 + chance / 2)

    def probe_after_s(self, misses: int, *, notices: bool) -> float:
        """Return how long to wait before the next probe of what is up, after ``misses`` without an answer."""
        if misses:
            return self.again_s
        return self.calm_probe_s if notices else self.probe_s

    def reach_after_s(self, probes: int) -> float:
        """Return how long to wait before the next probe of a new address: names take time to spread."""
        return min(5.0, 0.1 * 2.0 ** min(probes, 10))


@attrs.frozen
class Vigil:
    """What probes of one published address have said, until it counts as gone.

    Parameters
    ----------
    patience
        How many may go unanswered, and for how long.
    begun_s
        When it was published, monotonic.
    notices
        Whether the provider notices itself when it is gone.
    answered
        Whether any probe was: before that the address is given time, after that it is to answer.
    """

    patience: Patience
    begun_s: float
    notices: bool = False
    answered: bool = False
    probes: int = 0
    misses: int = 0
    over: bool = False

    def heard(self, answered: bool, now_s: float) -> Vigil:
        """Return what is known after one more probe."""
        probes = self.probes + 1
        if answered:
            return attrs.evolve(self, answered=True, probes=probes, misses=0)
        misses = self.misses + 1
        late = now_s - self.begun_s >= self.patience.reach_s
        over = misses >= self.patience.misses if self.answered else late
        return attrs.evolve(self, probes=probes, misses=misses, over=over)

    @property
    def wait_s(self) -> float:
        """How long to wait before the next probe."""
        if self.answered:
            return self.patience.probe_after_s(self.misses, notices=self.notices)
        return self.patience.reach_after_s(self.probes)


def reached(error: Exception) -> bool:
    """Return whether somebody failed us: not where a provider says that it found nobody at all."""
    return not isinstance(error, PrismError) or error.details.get("reached", True) is not False


# --- what is told of a tunnel --------------------------------------------------------------


def tried(info: TunnelInfo, now: float) -> TunnelInfo:
    """Begin a try. What is lost stays told as that until something comes of it, what is up as well."""
    if info.state == "up":
        return info
    state: Literal["connecting", "down"] = "down" if info.state == "down" else "connecting"
    return _turned(info, state, now, attempts=info.attempts + 1, reason=info.reason * (state == "down"))


def up(info: TunnelInfo, url: str, now: float) -> TunnelInfo:
    """Have a probe through ``url`` answered."""
    return _turned(info, "up", now, url=url, reason="", attempts=0)


def lost(info: TunnelInfo, reason: str, now: float) -> TunnelInfo:
    """Lose it, or fail to open it; it is tried again."""
    return _turned(info, "down", now, reason=reason)


def refused(info: TunnelInfo, reason: str, now: float) -> TunnelInfo:
    """Be told that another try is of no use."""
    return _turned(info, "failed", now, reason=reason)


def _turned(
    info: TunnelInfo, state: Literal["connecting", "up", "down", "failed"], now: float, **facts: object
) -> TunnelInfo:
    since = info.since if info.state == state and info.since else now
    return attrs.evolve(info, state=state, since=since, **facts)  # type: ignore[arg-type]  # fields by name


# --- what happens to the machine -------------------------------------------------------------


@attrs.frozen
class Look:
    """A look at the clocks and the network: two of them tell what has happened in between."""

    wall_s: float
    monotonic_s: float
    address: str

    # A clock that is set moves by less, nearly always; a wrong guess costs a probe.
    SLEPT_S = 10.0

    def disturbed(self, now: Look, tick_s: float) -> str:
        """Return why connections may be dead without knowing it, "" if nothing has happened.

        A sleeping machine's monotonic clock stands still or goes on, as its system has it; either
        way more time has passed than the ``tick_s`` between two looks.
        """
        passed = max(now.wall_s - self.wall_s, now.monotonic_s - self.monotonic_s)
        if passed > tick_s + self.SLEPT_S:
            return "This machine slept."
        if now.address != self.address:
            return "The network of this machine changed."
        return ""
