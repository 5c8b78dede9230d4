"""Measure one server with one model: start, compare, warm up, load, stop."""

from __future__ import annotations

import json
import sys
from functools import cached_property
from pathlib import Path

from bench import processes
from bench.load import load
from bench.results import Document, Failure, Run, Start
from bench.servers import FILES, HERE, Running, Server, Unfit, serving

sys.path.insert(0, str(HERE / "shared"))
import predictor

# Fewer than the smallest batch that a peer is set to take.
COMPARED_ROWS = 50
WARM_UP_S = 1


class Subject:
    """A model, its rows, and the labels that a server must answer."""

    def __init__(self, models: Path, model: str, number: int = 1) -> None:
        self.models = models
        self.model = model
        self.number = number
        self.rows: list[list[float]] = json.loads((models / "rows.json").read_text())[model]

    @cached_property
    def labels(self) -> list[int]:
        """What the model itself says of the rows that are compared."""
        predict = predictor.load(self.models / FILES[self.model])
        return [int(label) for label in predict(predictor.np.array(self.rows[:COMPARED_ROWS]))]

    def bodies(self, server: Server) -> Path:
        """Write the bodies that the server is asked with, one row each, a line each."""
        path = self.models / f"{self.model}-{server.name.replace(' ', '-')}.jsonl"
        path.write_text("\n".join(server.body([row]) for row in self.rows))
        return path


def measure(
    document: Document, server: Server, subject: Subject, connections: list[int], seconds: int
) -> None:
    """Add the server's loads to the document; if it does not start or answers wrong, just why."""
    try:
        with serving(server, subject.models, subject.model, subject.rows[:COMPARED_ROWS]) as running:
            if not server.fixed and running.answer != subject.labels:
                raise Unfit("its answers differ from the model's")
            loads(document, running, subject, connections, seconds)
    except Unfit as error:
        document.failures.append(Failure(subject.number, subject.model, server.name, str(error)))
        print(f"{subject.model} {server.name}: {error}", file=sys.stderr)


def loads(
    document: Document, running: Running, subject: Subject, connections: list[int], seconds: int
) -> None:
    """Load a server that runs, with each number of connections."""
    bodies, name, model = subject.bodies(running.server), running.server.name, subject.model
    load(running, bodies, 16, WARM_UP_S)
    for count in connections:
        sample = load(running, bodies, count, seconds)
        if sample.errors:
            raise Unfit(f"{sample.errors} errors at {count} connections")
        run = Run(subject.number, model, name, count, *sample)
        document.runs.append(run)
        print(line(run), flush=True)
    memory_mb = processes.pss_mb(running.processes())
    document.starts.append(Start(subject.number, model, name, running.first_answer_s, memory_mb))


def line(run: Run) -> str:
    """Return one load as a line for the screen."""
    cpu = "  ".join(f"{part} {us:.1f}" for part, us in sorted(run.cpu_us.items()))
    return (
        f"{run.model:12} {run.server:14} c={run.connections:<3} {run.rps:8,.0f}/s  p50 {run.p50_ms:.2f}  "
        f"p99 {run.p99_ms:.2f} ms  cpu us/request: {cpu}  errors {run.errors}"
    )
