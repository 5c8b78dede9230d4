"""The protocols side by side: ``python -m bench.protocols peers|image|forms``.

``peers``: V2 in raw bytes and gRPC beside Triton's C++ front end, with one ONNX model, each in turn.
``image``: a picture of 602 KB by each protocol beside the bare hop through two processes.
``forms``: the same rows in PRISM's JSON, V2's JSON, raw bytes and gRPC.
Needs h2load (``apt-get install nghttp2-client``); each takes about a minute. ``--publish`` writes
BENCHMARKS.md and the results.
"""

from __future__ import annotations

import argparse
import json
import os

import attrs

from bench import machine, report
from bench.protocols.parts import PARTS, Row, measure
from bench.protocols.tables import table
from bench.servers import HERE

RESULTS = HERE / "results" / "protocols.json"


def main() -> None:
    """Measure the parts that were asked for, and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--publish", action="store_true", help="write BENCHMARKS.md and the results as well")
    asked = parser.parse_args()
    for name in asked.parts:
        busy = (
            f"{asked.rounds} x {asked.seconds} s, load average of the machine before {os.getloadavg()[0]:.1f}"
        )
        rows = []
        for row in measure(name, asked.rounds, asked.seconds):
            print(shown(row), flush=True)
            rows.append(row)
        print(f"\n{table(rows)}\n")
        if asked.publish:
            publish(name, rows, busy)


def shown(row: Row) -> str:
    """Return a load as a line for the screen."""
    return (
        f"{row.server:24} {row.form:20} {row.model:12} c={row.connections:<3} {row.rps:8,.0f}/s  "
        f"p50 {row.p50_ms:.2f}  p99 {row.p99_ms:.2f} ms  cpu us/request {row.cpu_us:.0f}  "
        f"load {row.generator_cores:.2f} cores"
    )


def publish(name: str, rows: list[Row], busy: str) -> None:
    """Write a part's table into BENCHMARKS.md, and its rows beside those of the other parts."""
    facts = machine.facts() | {"h2load": machine.said(["h2load", "--version"]).strip()}
    where = f"{facts['date']}, commit {facts['commit']}, {facts['h2load']}; {busy}."
    page = HERE.parent / "BENCHMARKS.md"
    page.write_text(report.insert(page.read_text(), {f"protocols-{name}": f"{where}\n\n{table(rows)}"}))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {"machine": facts | {"load": busy}, "rows": [attrs.asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
