"""The route of a model: which versions answer for its bare name, and what happens beside. A plain value.

Aliases and numbered versions are asked as ever; only ``churn`` alone goes by the route.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from prism_core.traffic.bandit import Bandit
from prism_core.traffic.circuit import CircuitPolicy
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.experiment import Experiment, TrafficGuard
from prism_core.traffic.feedback import Feedback
from prism_core.traffic.flaws import Flaw, Key, flaws_of
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.recording import Recording
from prism_core.traffic.targets import Fallback, NotNegative, Rule, Shadow, Share, Target


@attrs.frozen
class Route:
    """Where the traffic of a model goes.

    Parameters
    ----------
    split
        The versions among which it is parted; empty: all goes to ``latest``.
    sticky
        What of a request keeps it with one share: ``header:NAME``, ``cookie:NAME``, ``key``, ``address``;
        "": each request is drawn for itself.
    rules
        Asked before the split; the first that is true decides.
    shadow
        Versions that are asked too, after the answer.
    fallback
        Who answers where the chosen version does not, in order.
    timeout_ms
        How long each of them has, 0 for as long as the request has.
    ensemble
        Instead of a split: versions that answer together.
    bandit
        Learns the weights of the split from feedback.
    feedback
        What is remembered of answers, to be judged later.
    hedge
        Asks a second replica where the first is slow.
    circuit
        When a version that fails is left out for a while.
    experiment
        What is compared between the shares of the split.
    guard
        Takes traffic away from a share that is worse.
    record
        Which requests are kept to be replayed.
    """

    split: tuple[Share, ...] = ()
    sticky: str = ""
    rules: tuple[Rule, ...] = ()
    shadow: tuple[Shadow, ...] = ()
    fallback: tuple[Fallback, ...] = ()
    timeout_ms: NotNegative = 0.0
    ensemble: Ensemble | None = None
    bandit: Bandit | None = None
    feedback: Feedback | None = None
    hedge: Hedge | None = None
    circuit: CircuitPolicy = attrs.field(factory=CircuitPolicy)
    experiment: Experiment | None = None
    guard: TrafficGuard | None = None
    record: Recording | None = None

    @property
    def led(self) -> Iterator[tuple[Key, Target]]:
        """Everything that it can lead to, with the key of each."""
        for name in ("rules", "split", "shadow", "fallback"):
            for place, target in enumerate(getattr(self, name)):
                if target.version is not None or target.model:
                    yield (name, place), target
        if self.ensemble:
            for place, target in enumerate(self.ensemble.members):
                yield ("ensemble", "members", place), target
            if self.ensemble.stack:
                yield ("ensemble", "stack"), self.ensemble.stack

    @property
    def remembers(self) -> Feedback | None:
        """What is remembered of answers; without `feedback` all, where something learns from labels."""
        asked = [one.metrics for one in (self.experiment, self.guard) if one is not None]
        if self.feedback is None and (self.bandit or any("labels" in metrics for metrics in asked)):
            return Feedback()
        return self.feedback

    @property
    def targets(self) -> Iterator[Target]:
        """Everything that it can lead to."""
        return (target for _, target in self.led)

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong with it by itself; the converter asks, and tells each with its key."""
        return flaws_of(self)
