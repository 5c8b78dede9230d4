"""How loaded one version is, from one look to the next, and how many replicas that asks for."""

from __future__ import annotations

import os
import time

from prism_core.gateway.crew import Crew
from prism_core.gateway.loads import Loads
from prism_core.gateway.observe import Metrics
from prism_core.gateway.scaling import Bounds, Load, Scale


class Gauge:
    """The load of one version, from one look to the next."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._scale = Scale()
        self._at = time.monotonic()
        self._calls, self._busy_s = 0, 0.0
        self._service_s = 0.0

    def target(self, crew: Crew, loads: Loads) -> int:
        """Return how many replicas a version should have now."""
        manifest, now = crew.manifest, len(crew.replicas)
        bounds = Bounds(
            manifest.fewest,
            manifest.most,
            max(1, cores() // max(1, manifest.threads)),
            now + loads.affordable(manifest, crew.use),
        )
        return self._scale.target(self._load(crew, now), now, bounds)

    def _load(self, crew: Crew, replicas: int) -> Load:
        seen = self._metrics.calls.versions.get((crew.manifest.model, crew.manifest.version))
        calls, busy_s = (seen.computed, seen.busy_s) if seen else (0, 0.0)
        new, spent_s = calls - self._calls, busy_s - self._busy_s
        now = time.monotonic()
        passed_s, self._at = max(now - self._at, 1e-6), now
        self._calls, self._busy_s = calls, busy_s
        if new > 0:
            self._service_s = spent_s / new
        waiting = max(0, crew.in_flight - replicas)
        return Load(max(0, new) / passed_s, self._service_s, waiting)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
