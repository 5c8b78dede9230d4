"""Run PRISM and its peers side by side: ``make bench``, or ``python -m bench.run``.

A quick look while one works on PRISM, with nothing written:

    .venv/bin/python -m bench.run --servers PRISM,ceiling --models logistic --connections 64 --quick

Each server is started alone, its answers are compared with the model's own, it is warmed up,
measured with wrk and stopped; rounds go through all of them in turn, and medians count.
Every request carries ``Cache-Control: no-store``, so PRISM computes each answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

from bench import environments, machine, plots, report, scenarios
from bench.measuring import Subject, measure
from bench.ours import OURS
from bench.peers import PEERS
from bench.results import Document, read
from bench.servers import FILES, HERE, Server

ALL = {server.name: server for server in (*OURS, *PEERS)}
PLOTS = {
    "throughput": ("rps", "Requests a second over connections (higher is better)"),
    "latency": ("p50_ms", "Median latency in ms over connections (lower is better)"),
}


def given() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", type=comma, default=list(ALL), help=", ".join(ALL))
    parser.add_argument("--models", type=comma, default=list(FILES), help=", ".join(FILES))
    parser.add_argument("--connections", type=comma, default=["1", "16", "64"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--scenarios", type=comma, default=list(scenarios.ALL), help="or '' for none")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latest.json")
    parser.add_argument("--quick", action="store_true", help="one round, no scenario, nothing written")
    parser.add_argument("--publish", action="store_true", help="write BENCHMARKS.md and its plots as well")
    parser.add_argument("--again", type=Path, help="only write the report of these results anew")
    return parser.parse_args()


def comma(text: str) -> list[str]:
    """Split ``a,b``; nothing of ""."""
    return [part for part in text.split(",") if part]


def main() -> None:
    """Measure, print the tables, write results and, if asked, the page."""
    asked = given()
    if asked.again:
        publish(read(json.loads(asked.again.read_text())))
        return
    if asked.quick:
        asked.rounds, asked.scenarios = 1, []
    servers = [ALL[name] for name in asked.servers]
    for server in servers:
        if server.peer:
            environments.ensure(server.peer)
    document = Document(machine.facts(), {"rounds": asked.rounds, "seconds": asked.seconds})
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-models-") as directory:
        subprocess.run([sys.executable, str(HERE / "models.py"), directory], check=True)
        run(document, servers, Path(directory), asked)
    print(f"Took {(time.monotonic() - begun) / 60:.1f} minutes.", file=sys.stderr)
    if not asked.quick:
        document.installed = installed(servers)
        write(document, asked.out)
        print("\n\n".join(report.tables(document).values()))
    if asked.publish:
        publish(document)


def run(document: Document, servers: list[Server], models: Path, asked: argparse.Namespace) -> None:
    """Fill the document: the rounds, then the scenarios."""
    connections = [int(count) for count in asked.connections]
    for number in range(1, asked.rounds + 1):
        for model in asked.models:
            subject = Subject(models, model, number)
            for server in servers:
                if model in server.models:
                    measure(document, server, subject, connections, asked.seconds)
            if not asked.quick:
                write(document, asked.out)  # what is there is kept, whatever happens later
    for name in asked.scenarios:
        document.scenarios[name] = scenarios.ALL[name](models)


def installed(servers: list[Server]) -> dict[str, dict[str, object]]:
    """Return what installing each server brings."""
    found = {s.name: environments.installed(s.peer, s.package) for s in servers if s.peer}
    if any(server.name == "PRISM" for server in servers):
        found = {"PRISM": environments.installed_prism()} | found
    return {name: attrs.asdict(of) for name, of in found.items()}


def publish(document: Document) -> None:
    """Write the tables into BENCHMARKS.md, the plots beside the results, and the results by their date."""
    page = HERE.parent / "BENCHMARKS.md"
    page.write_text(report.insert(page.read_text(), report.tables(document)))
    results = HERE / "results"
    for name, (field, title) in PLOTS.items():
        (results / f"{name}.svg").write_text(plots.plot(document, field, title))
    write(document, results / f"{document.machine['date']}.json")


def write(document: Document, path: Path) -> None:
    """Write the document as JSON."""
    path.write_text(json.dumps(attrs.asdict(document), indent=1) + "\n")


if __name__ == "__main__":
    main()
