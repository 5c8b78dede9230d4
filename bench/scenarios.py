"""Questions beside the table: what the cache gives and costs, and what happens under too much load."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.load import MARK, Sample, load
from bench.measuring import WARM_UP_S, Subject
from bench.openloop import offer
from bench.ours import BARE, PRISM, PRISM_CACHED, PRISM_UNCACHED
from bench.results import middle
from bench.servers import Running, serving

CONNECTIONS = 64
ROUNDS = 15
SECONDS = 1
# Each load of unique bodies counts on from a number of its own.
APART = 1_000_000

SHARES = (0.5, 0.8, 1.2)
# Rates that are tried for the capacity, as shares of what wrk gets at 64 connections, and how often each.
TRIED = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
TRIES = 3
TRY_S = 2
OBJECTIVE_MS = 100
OVERLOADED = ("logistic", "forest")
OVERLOAD_S = 5
# More than may be on their way within the objective: else the load would wait for its own connections.
OPEN_CONNECTIONS = 6000


def cache(models: Path) -> dict[str, Any]:
    """Return medians of the bare ceiling, of hits, and of unique traffic with the cache on and off.

    All four servers run at once, idle but for the one that is asked, and take turns: what the
    machine does meanwhile happens to all of them.
    """
    subject = Subject(models, "logistic")
    usual, unique = subject.bodies(PRISM), unique_bodies(subject)
    parts = {
        "bare": (BARE, usual),
        "hit": (PRISM_CACHED, usual),
        "off": (PRISM_UNCACHED, unique),
        "on": (PRISM_CACHED, unique),
    }
    samples: dict[str, list[Sample]] = {name: [] for name in parts}
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving(server, models, subject.model, subject.rows[:1]))
            for name, (server, _) in parts.items()
        }
        for number in range(ROUNDS + 1):
            for name, (_, bodies) in parts.items():
                start = APART * number if bodies is unique else None
                sample = load(
                    servers[name], bodies, CONNECTIONS, SECONDS if number else WARM_UP_S, unique=start
                )
                if number:
                    samples[name].append(sample)
    pairs = zip(samples["on"], samples["off"], strict=True)
    found = {key: value for name, of in samples.items() for key, value in medians(name, of).items()}
    return found | {"on_of_off": middle(on.rps / off.rps for on, off in pairs)}


def unique_bodies(subject: Subject) -> Path:
    """Write bodies whose first number ends with `MARK`: further digits, another body each time."""
    path = subject.models / f"{subject.model}-unique.jsonl"
    bodies = (PRISM.body([row]) for row in subject.rows)
    path.write_text("\n".join(re.sub(r"(\[\[-?\d+\.\d+)", rf"\g<1>{MARK}", body, count=1) for body in bodies))
    return path


def medians(name: str, samples: list[Sample]) -> dict[str, float | None]:
    """Return the medians of one part, by their names in the document."""
    return {
        f"{name}_rps": middle(sample.rps for sample in samples),
        f"{name}_cpu_us": middle(sum(sample.cpu_us.values()) for sample in samples),
    }


def overload(models: Path) -> dict[str, Any]:
    """Return what a constant rate does at some shares of the capacity, model by model."""
    levels = []
    for model in OVERLOADED:
        subject = Subject(models, model)
        with serving(PRISM, models, model, subject.rows[:1]) as running:
            levels += [{"model": model} | level for level in offered(running, subject)]
    return {"levels": levels}


def offered(running: Running, subject: Subject) -> list[dict[str, float]]:
    """Find the capacity, and offer shares of it."""
    bodies = subject.bodies(PRISM)
    load(running, bodies, CONNECTIONS, WARM_UP_S)
    lines = bodies.read_text().splitlines()

    def at(rate: float, seconds: float) -> dict[str, float]:
        return offer(running.url, lines, connections=OPEN_CONNECTIONS, rate=rate, seconds=seconds)

    capacity = capacity_of(load(running, bodies, CONNECTIONS, SECONDS).rps, lambda rate: at(rate, TRY_S))
    found = []
    for share in SHARES:
        found.append({"share": share, **at(capacity * share, OVERLOAD_S)})
        print(f"overload {subject.model} {found[-1]}", flush=True)
    return found


def capacity_of(closed_rps: float, offer_rate: Callable[[float], dict[str, float]]) -> float:
    """Return the highest rate that was answered wholly and within the objective.

    wrk's rate at 64 connections is no measure of it: thousands of connections and a load that
    does not wait cost the machine more. A rate has missed when it missed each time it was tried.
    """
    capacity = closed_rps * TRIED[0]
    for share in TRIED:
        rate = closed_rps * share
        levels = (offer_rate(rate) for _ in range(TRIES))
        if not any(not one["refused_rps"] and one["p99_ms"] <= OBJECTIVE_MS for one in levels):
            break
        capacity = rate
    return capacity


ALL: dict[str, Callable[[Path], dict[str, Any]]] = {"cache": cache, "overload": overload}
