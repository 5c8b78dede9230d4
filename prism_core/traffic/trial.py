"""What is added up of an experiment: the shares of a split that are compared, in the order of their records.

A trial lasts while the shares and the control stay the same. Where only weights change it goes on with a new
`Period`, and no sum reaches across the change; see `prism_core.traffic.statistics.rates` for why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import attrs

from prism_core.traffic.sketch import Sketch
from prism_core.traffic.statistics.contrasts import Contrast, weight_of
from prism_core.traffic.statistics.rates import Pair, Rate

Thing = TypeVar("Thing")

# What is a rate; higher is worse for errors alone.
Rated = Literal["errors", "agreement", "labels"]
RATED: tuple[Rated, ...] = ("errors", "agreement", "labels")

# A slice of latencies lasts so long at least, and has so many requests of each arm. Shorter ones find a slow
# share sooner, and are wrong more often where a disturbance of one arm lasts: of simulated A/A runs with one
# of 3 s at a time, at alpha 0.0125, slices of 1 s made 8 % wrong, of 2 s 3 %.
SLICE_S = 2.0
SLICE_REQUESTS = 5
# A window ends with so many records of the share, or slices. Long enough for a share that always fails, or
# takes three times as long, to be found in the window after a thousand others.
WINDOW_RECORDS = 256
WINDOW_SLICES = 128
# Periods that are kept apart; of more, the two oldest become one.
MOST_PERIODS = 32
# Of so many of its last requests the control's share of failures is told.
LATELY = 20.0


@attrs.define
class Period:
    """Sums of a time in which weights did not change; it began with the route's revision ``since``."""

    since: int
    weights: dict[str, float] = attrs.field(factory=dict)
    rates: dict[Rated, dict[str, Rate]] = attrs.field(factory=dict)

    def rate(self, metric: Rated, arm: str) -> Rate:
        """Return an arm's sums, to be added to."""
        return self.rates.setdefault(metric, {}).setdefault(arm, Rate())


@attrs.define
class Window:
    """The last records of a pair of arms; ``number`` counts windows from 1."""

    number: int = 1
    control: Rate = attrs.field(factory=Rate)
    other: Rate = attrs.field(factory=Rate)

    def add(self, value: float, *, control: bool) -> None:
        """Add a record; the window before has ended where it was full."""
        if self.other.n >= WINDOW_RECORDS:
            self.begin()
        (self.control if control else self.other).add(value)

    def begin(self) -> None:
        """Begin the next window."""
        self.number, self.control, self.other = self.number + 1, Rate(), Rate()


@attrs.define
class Latencies:
    """Log latencies of an arm beside the control's: slices of all time, and of the window ``number``."""

    whole: Contrast = attrs.field(factory=Contrast)
    recent: Contrast = attrs.field(factory=Contrast)
    number: int = 1
    begun: float = 0.0
    control: Rate = attrs.field(factory=Rate)
    other: Rate = attrs.field(factory=Rate)

    def add(self, at: float, log_s: float, *, control: bool) -> bool:
        """Add a latency; return whether a slice has ended with it."""
        if not self.control.n and not self.other.n:
            self.begun = at
        (self.control if control else self.other).add(log_s)
        if at - self.begun < SLICE_S or min(self.control.n, self.other.n) < SLICE_REQUESTS:
            return False
        self._close()
        return True

    def drop(self) -> None:
        """Forget the slice that is open."""
        self.control, self.other = Rate(), Rate()

    def _close(self) -> None:
        if self.recent.slices >= WINDOW_SLICES:
            self.recent, self.number = Contrast(), self.number + 1
        weight = weight_of(self.control.n, self.other.n)
        for contrast in (self.whole, self.recent):
            contrast.add(weight, self.other.mean - self.control.mean)
        self.drop()


@attrs.define
class Trial:
    """The sums of one experiment.

    Parameters
    ----------
    control, others
        The arms: references of versions.
    since, begun
        The revision of the route with which it began, and when, in Unix seconds.
    """

    control: str
    others: tuple[str, ...]
    since: int
    begun: float
    periods: list[Period]
    windows: dict[Rated, dict[str, Window]] = attrs.field(factory=dict)
    latencies: dict[str, Latencies] = attrs.field(factory=dict)
    sketches: dict[str, Sketch] = attrs.field(factory=dict)
    control_fails: float = 0.0

    @classmethod
    def of(cls, control: str, weights: Mapping[str, float], revision: int, at: float) -> Trial:
        """Return one that begins."""
        others = tuple(arm for arm in weights if arm != control)
        return cls(control, others, revision, at, [Period(revision, dict(weights))])

    @property
    def arms(self) -> tuple[str, ...]:
        """All that are compared, the control first."""
        return (self.control, *self.others)

    @property
    def weights(self) -> dict[str, float]:
        """Those of now."""
        return self.periods[-1].weights

    def weigh(self, weights: Mapping[str, float], revision: int) -> None:
        """Go on with other weights."""
        if proportions(weights) == proportions(self.weights):
            return
        self.periods.append(Period(revision, dict(weights)))
        if len(self.periods) > MOST_PERIODS:
            self._merge_oldest()
        for windows in self.windows.values():
            for window in windows.values():
                window.begin()

    def called(self, revision: int, arm: str, at: float, *, failed: bool, total_s: float | None) -> bool:
        """Add a request; ``total_s`` only where it says something of the arm.

        Return whether a slice of latencies has ended with it.
        """
        self.rated("errors", revision, arm, float(failed))
        if arm == self.control:
            self.control_fails += (failed - self.control_fails) / LATELY
        if total_s is None or total_s <= 0:
            return False
        _of(self.sketches, arm, Sketch).add(total_s)
        log_s = math.log(total_s)
        control = arm == self.control
        pairs = self.others if control else (arm,)
        ended = [_of(self.latencies, one, Latencies).add(at, log_s, control=control) for one in pairs]
        return any(ended)

    def rated(self, metric: Rated, revision: int, arm: str, value: float) -> None:
        """Add a value between 0 and 1."""
        period = self._period(revision)
        period.rate(metric, arm).add(value)
        if period is not self.periods[-1]:
            return  # late news of a time before the weights changed
        windows = self.windows.setdefault(metric, {})
        control = arm == self.control
        for one in self.others if control else (arm,):
            _of(windows, one, Window).add(value, control=control)

    def pairs(self, metric: Rated, arm: str) -> list[Pair]:
        """Return the sums of an arm beside the control's, a pair for each period that has both."""
        found = ((period.rate(metric, self.control), period.rate(metric, arm)) for period in self.periods)
        return [Pair(control, other) for control, other in found if control.n and other.n]

    def rate(self, metric: Rated, arm: str) -> Rate:
        """Return an arm's sums of all time."""
        return sum((period.rate(metric, arm) for period in self.periods), Rate())

    def resume(self) -> None:
        """Go on after a restart: what was open was cut off in the middle."""
        for latencies in self.latencies.values():
            latencies.drop()

    def _period(self, revision: int) -> Period:
        found = (one for one in reversed(self.periods) if one.since <= revision)
        return next(found, self.periods[0])

    def _merge_oldest(self) -> None:
        """Make the two oldest periods one: so many changes ago, drift between them hardly counts."""
        first, second = self.periods[:2]
        for metric, rates in first.rates.items():
            for arm, rate in rates.items():
                second.rates.setdefault(metric, {})[arm] = second.rate(metric, arm) + rate
        second.since = first.since
        del self.periods[0]


def proportions(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights as parts of the whole, rounded: 1 and 1 are what 50 and 50 are."""
    whole = sum(weights.values()) or 1.0
    return {arm: round(weight / whole, 9) for arm, weight in weights.items()}


def _of(things: dict[str, Thing], arm: str, make: Callable[[], Thing]) -> Thing:
    found = things.get(arm)
    if found is None:
        found = things[arm] = make()
    return found
