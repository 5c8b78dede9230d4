"""How often the guard errs, how soon it finds faults: ``python -m bench.experiments PART``.

``alike``: runs of traffic whose versions do not differ, with a look after every request.
``faults``: after how many requests the guard has found what is wrong with a canary.
``rivals``: other ways to compare two error rates, how wide and how soon.
``cost``: what a request costs the leading gateway for being added up.
All of it is seeded; up to two minutes each on two idle cores. ``--publish`` writes BENCHMARKS.md,
docs/explanation/experiments.md and the results.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import attrs
import numpy as np

from bench import machine, report
from bench.experiments import rivals, tables
from bench.experiments.cost import cost
from bench.experiments.runs import Sum, summed
from bench.experiments.scenes import ALIKE, FAULTS, GUARDS, SHARES, Fault
from bench.servers import HERE

RESULTS = HERE / "results" / "experiments.json"
PAGES = (HERE.parent / "BENCHMARKS.md", HERE.parent / "docs" / "explanation" / "experiments.md")
ALPHA = 0.0025

Table = tuple[str, object]


def main() -> None:
    """Simulate the parts that were asked for, and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=0, help="of each row; 0: as published")
    parser.add_argument("--publish", action="store_true", help="write the pages and the results as well")
    asked = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in asked.parts:
            begun = time.monotonic()
            table, rows = PARTS[name](asked.runs, pool)
            print(f"{table}\n\n{time.monotonic() - begun:.0f} s\n", flush=True)
            if asked.publish:
                publish(name, table, rows)


def alike(runs: int, pool: ProcessPoolExecutor) -> Table:
    """Return how often the guard was wrong."""
    sums = [one for traffic in ALIKE for one in summed(traffic, GUARDS, runs or 400, pool)]
    return tables.alike(sums), [shown(one) for one in sums]


def faults(runs: int, pool: ProcessPoolExecutor) -> Table:
    """Return how soon the guard was right."""
    found = {fault.says: by_share(fault, runs or 30, pool) for fault in FAULTS}
    rows = [shown(one) | {"fault": says} for says, by in found.items() for one in by.values()]
    return tables.faults(found), rows


def by_share(fault: Fault, runs: int, pool: ProcessPoolExecutor) -> dict[str, Sum]:
    """Return how soon a fault is found, by how the traffic is parted."""
    found = {}
    for share in SHARES:
        traffic = attrs.evolve(fault.traffic, share=share, n=fault.most)
        (found[f"{100 * (1 - share):.0f} to {100 * share:.0f}"],) = summed(
            traffic, {"": fault.guard}, runs, pool
        )
    return found


def compared(runs: int, pool: ProcessPoolExecutor) -> Table:
    """Return how wide and how soon the rivals are; a few arrays at once, in this process."""
    widths = []
    for p, n in ((0.01, 1000), (0.01, 10_000), (0.001, 10_000), (0.2, 1000)):
        both = [way(p, n, ALPHA) for way in (rivals.width_joint, rivals.width_two, rivals.width_once)]
        widths.append([f"{p:.1%}, {n:,}", *(f"{100 * width:.2f} points" for width in both)])
    soon, ways = [], []
    for p, more, share, n in (
        (0.2, 0.0, 0.5, 2000),
        (0.001, 0.999, 0.5, 200),
        (0.01, 0.05, 0.5, 8000),
        (0.01, 0.05, 0.1, 12_000),
        (0.001, 0.01, 0.1, 30_000),
    ):
        found = rivals.soon(p, more, share, runs or 100, n, 0.05 if not more else ALPHA, seed=8)
        ways = list(found)
        says = f"{p:.1%} and {p + more:.1%}" if more else f"{p:.0%} both: wrong within {n:,}, alpha 0.05"
        cells = [_after(one) if more else f"{np.isfinite(one).mean():.0%}" for one in found.values()]
        soon.append([says, f"{100 * (1 - share):.0f} to {100 * share:.0f}", *cells])
    return tables.rivals(widths, soon, ways), {"widths": widths, "soon": soon}


def _after(one: rivals.Floats) -> str:
    median = float(np.median(one))
    return f"{median:,.0f}" if np.isfinite(median) else "-"


def shown(one: Sum) -> dict[str, object]:
    """Return a sum as it is kept; what its traffic is like stands in `scenes`, by its name."""
    traffic = {"scene": one.traffic.name, "share": one.traffic.share, "requests": one.traffic.n}
    return traffic | attrs.asdict(one, filter=lambda field, _: field.name != "traffic")


def publish(name: str, table: str, rows: object) -> None:
    """Write a part's table into the pages, and its rows beside those of the other parts."""
    said = f"Simulated {machine.facts()['date']}, seeded."
    for page in PAGES:
        text = page.read_text()
        if f"<!-- experiments-{name} -->" in text:
            page.write_text(report.insert(text, {f"experiments-{name}": f"{said}\n\n{table}"}))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {"said": said, "rows": rows}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


PARTS: dict[str, Callable[[int, ProcessPoolExecutor], Table]] = {
    "alike": alike,
    "faults": faults,
    "rivals": compared,
    "cost": lambda runs, pool: cost(runs or 5),
}

if __name__ == "__main__":
    main()
