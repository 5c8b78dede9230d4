"""What a run of the benchmark found, as one JSON document, and its medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import attrs


@attrs.frozen
class Run:
    """One load of one server. Processor time is microseconds a request, by part of the server."""

    round: int
    model: str
    server: str
    connections: int
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: dict[str, float]


@attrs.frozen
class Start:
    """One start of one server: seconds to its first answer; memory after its load."""

    round: int
    model: str
    server: str
    first_answer_s: float
    memory_mb: float


@attrs.frozen
class Failure:
    """A start that does not count, and why."""

    round: int
    model: str
    server: str
    reason: str


@attrs.define
class Document:
    """Everything of one run. ``installed`` is by server: version, size_mb, packages."""

    machine: dict[str, str]
    given: dict[str, Any]
    installed: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    runs: list[Run] = attrs.field(factory=list)
    starts: list[Start] = attrs.field(factory=list)
    failures: list[Failure] = attrs.field(factory=list)
    scenarios: dict[str, Any] = attrs.field(factory=dict)

    def of(self, model: str, server: str, connections: int) -> list[Run]:
        """Return the loads of one cell of the table."""
        cell = (model, server, connections)
        return [run for run in self.runs if (run.model, run.server, run.connections) == cell]

    def median(self, model: str, server: str, connections: int, field: str) -> float | None:
        """Return the median of a field over the rounds; None of none."""
        return middle(getattr(run, field) for run in self.of(model, server, connections))

    def servers(self) -> list[str]:
        """Return the servers that were measured, in their order."""
        return list(dict.fromkeys(run.server for run in self.runs))

    def models(self) -> list[str]:
        """Return the models that were measured, in their order."""
        return list(dict.fromkeys(run.model for run in self.runs))

    def connections(self) -> list[int]:
        """Return the numbers of connections, smallest first."""
        return sorted({run.connections for run in self.runs})


def middle(values: Iterable[float]) -> float | None:
    """Return the median; None of none."""
    found = list(values)
    return statistics.median(found) if found else None


def read(plain: dict[str, Any]) -> Document:
    """Return the document of its plain values."""
    return Document(
        plain["machine"],
        plain["given"],
        plain["installed"],
        [Run(**run) for run in plain["runs"]],
        [Start(**start) for start in plain["starts"]],
        [Failure(**failure) for failure in plain["failures"]],
        plain["scenarios"],
    )
