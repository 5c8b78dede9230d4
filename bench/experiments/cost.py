"""What a routed request costs the leading gateway for being added up, in processor time."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.experiments.traffic import Traffic, draw
from bench.report import grid
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.experiments import Experiments
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share

REQUESTS = 100_000


def cost(rounds: int) -> tuple[str, list[float]]:
    """Return the times of rounds, in microseconds a request, and a table of the best."""
    found = asyncio.run(_rounds(rounds))
    return grid(["us a request, best of rounds"], [[f"{min(found):.2f}"]]), found


async def _rounds(rounds: int) -> list[float]:
    traffic = Traffic("cost", share=0.1, n=REQUESTS, per_s=500.0)
    calls = [
        RoutedCall(at, "r", "m", 5, f"m/{2 if canary else 1}", "", 500 if failed else 200, "", total_s)
        for at, canary, failed, total_s, _ in draw(traffic, np.random.default_rng(1))
    ]
    return [_round(calls) for _ in range(rounds)]


def _round(calls: list[RoutedCall]) -> float:
    registry = Registry(lambda event: None)
    route = Route((Share(1, weight=90), Share(2, weight=10)))
    registry.models["m"] = Model("m", 2, route=route, revision=5)
    nowhere: Any = SimpleNamespace()  # nothing is stored in so short a time
    experiments = Experiments(registry, nowhere)
    begun = time.process_time()
    for call in calls:
        experiments.hear_call(call)
    took = time.process_time() - begun
    assert experiments.trials["m"].rate("errors", "m/2").n
    return 1e6 * took / len(calls)
