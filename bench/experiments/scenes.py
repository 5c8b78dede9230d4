"""What is simulated: versions that are alike in many ways, and faults of many sizes."""

from __future__ import annotations

import attrs

from bench.experiments.traffic import Traffic
from prism_core.traffic.experiment import Metric, TrafficGuard

# As it comes; and one that is asked for any difference, with an alpha that a thousand runs can tell.
GUARDS = {
    "0.05, no margin": TrafficGuard(alpha=0.05, max_latency_percent=0.0),
    "as it comes (0.01, 10 %)": TrafficGuard(),
}

ALIKE = (
    Traffic("half and half"),
    Traffic("99 to 1", share=0.01, n=12_000),
    Traffic("rare errors, 90 to 10", share=0.1, errors=0.0005),
    Traffic("drift and outages", share=0.1, drift=5.0, outages=True),
    Traffic("heavy tails (t, 3 degrees)", tail=3),
    Traffic("batches of 8", batch=8),
    Traffic("weights 1, 5, 20, 50 % while all drifts", ramp=(0.01, 0.05, 0.2, 0.5), drift=5.0),
    Traffic("a version disturbed for 0.3 s", own_s=0.3),
    Traffic("a version disturbed for 1 s", own_s=1.0),
    Traffic("a version disturbed for 3 s", own_s=3.0),
    Traffic("a version disturbed for 10 s", own_s=10.0),
)

SHARES = (0.5, 0.1, 0.01)


@attrs.frozen
class Fault:
    """A fault, and the guard that is to find it, within ``most`` requests."""

    says: str
    traffic: Traffic
    guard: TrafficGuard
    most: int = 100_000


def _guard(metric: Metric, margin: float = 10.0) -> TrafficGuard:
    """Return a guard with one metric that has as much of alpha as it has beside another in what comes."""
    return TrafficGuard(metrics=(metric,), alpha=0.005, max_latency_percent=margin)


FAULTS = (
    Fault("every request fails", Traffic("all", more_errors=0.99), _guard("errors"), 5_000),
    Fault(
        "every request fails, after 10,000 good ones",
        Traffic("late", more_errors=0.99, after=10_000),
        _guard("errors"),
        40_000,
    ),
    Fault("errors + 50 points", Traffic("e50", more_errors=0.5), _guard("errors"), 10_000),
    Fault("errors + 5 points", Traffic("e5", more_errors=0.05), _guard("errors")),
    Fault("errors + 1 point", Traffic("e1", more_errors=0.01), _guard("errors")),
    Fault("latency x 3", Traffic("l3", slower=3.0), _guard("latency")),
    Fault("latency + 50 %", Traffic("l50", slower=1.5), _guard("latency")),
    Fault("latency + 10 %, margin 0", Traffic("l10", slower=1.1), _guard("latency", margin=0.0)),
    Fault("labels - 5 points", Traffic("r5", worse_labels=0.05), _guard("labels")),
    Fault("labels - 2 points", Traffic("r2", worse_labels=0.02), _guard("labels")),
)
