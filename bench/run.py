"""Run PRISM and its peers side by side: ``python -m bench.run``.

A quick look while one works on PRISM:

    .venv/bin/python -m bench.run --servers PRISM,ceiling --models logistic --connections 64 --seconds 3

Each server is started alone, warmed up, measured with wrk and stopped; rounds go through
all of them in turn. Every request carries ``Cache-Control: no-store``, so PRISM computes each
answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.load import Sample, load
from bench.servers import FILES, HERE, OURS, Server, serving


def comma(text: str) -> list[str]:
    return text.split(",")


def measure(server: Server, models: Path, model: str, connections: list[int], seconds: float) -> list[int]:
    rows = json.loads((models / "rows.json").read_text())[model]
    bodies = models / f"{model}-{server.name.replace(' ', '-')}.jsonl"
    bodies.write_text("\n".join(server.body([row]) for row in rows))
    with serving(server, models, model, rows[:20]) as running:
        load(running, bodies, 16, 1)
        for count in connections:
            show(model, server.name, count, load(running, bodies, count, seconds))
        return running.answer


def compare(servers: list[Server], models: Path, model: str, connections: list[int], seconds: float) -> None:
    """Measure all servers; a round in which they disagree about the answers does not count."""
    answers = {}
    for server in servers:
        answer = measure(server, models, model, connections, seconds)
        if not server.fixed:
            answers[server.name] = answer
    if any(answer != next(iter(answers.values())) for answer in answers.values()):
        raise SystemExit(f"The servers disagree about {model}: {answers}")


def show(model: str, server: str, connections: int, sample: Sample) -> None:
    cpu = "  ".join(f"{part} {us:.1f}" for part, us in sorted(sample.cpu_us.items()))
    print(
        f"{model:12} {server:12} c={connections:<3} {sample.rps:8,.0f}/s  p50 {sample.p50_ms:.2f} "
        f"p99 {sample.p99_ms:.2f} ms  cpu us/request: {cpu}  errors {sample.errors}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [server.name for server in OURS]
    parser.add_argument("--servers", type=comma, default=names)
    parser.add_argument("--models", type=comma, default=list(FILES))
    parser.add_argument("--connections", type=comma, default=["1", "16", "64"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    chosen = [server for server in OURS if server.name in given.servers]
    connections = [int(count) for count in given.connections]
    with tempfile.TemporaryDirectory(prefix="bench-models-") as directory:
        subprocess.run([sys.executable, str(HERE / "models.py"), directory], check=True)
        for _ in range(given.rounds):
            for model in given.models:
                compare(chosen, Path(directory), model, connections, given.seconds)


if __name__ == "__main__":
    main()
