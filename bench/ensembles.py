"""What answering together costs, and what a deadline saves: ``python -m bench.ensembles``.

One server with three quick models. First one of them alone, then all three as an ensemble by several ways of
combining, loaded with wrk on 1 and on 16 connections; processor time is that of the server's processes. Then
requests at a constant rate while one member's process stands still for a twentieth of a second, four times a
second: the model alone, and the ensemble without and with a deadline. Latencies are counted from when each
request was due. Rounds in turn; medians are told.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from bench import processes
from bench.load import wrk
from bench.openloop import offer
from prism_core.testing.server import ServerProcess

NAMES = ("one", "two", "three")
MEMBERS = [{"model": name} for name in NAMES]
COLUMNS = 10
CONNECTIONS = (1, 16)
RATE = 200.0
PAUSE_S, EVERY_S = 0.05, 0.25
ALONE = "one of them"

# Name -> the reference that is asked, and the route of `one`.
Case = tuple[str, dict[str, Any] | None]


def quick() -> dict[str, Case]:
    """Return what is compared under load."""
    ways: dict[str, dict[str, Any]] = {
        "mean of 3": {"combine": "mean"},
        "vote of 3": {"combine": "vote"},
        "stacking of 3": {"combine": "stacking", "stack": {"model": "meta"}},
        "mean of 1": {"members": MEMBERS[:1]},
    }
    together = {name: ("one", {"members": MEMBERS, **way}) for name, way in ways.items()}
    return {ALONE: ("one@latest", None), **together}


def straggling() -> dict[str, Case]:
    """Return what is compared while one member stands still now and then."""
    return {
        "the straggler alone": ("three@latest", None),
        "mean of 3, no deadline": ("one", {"members": MEMBERS}),
        "mean of 3, need 2 in 10 ms": ("one", {"members": MEMBERS, "need": 2, "deadline_ms": 10}),
    }


class Bench:
    """A server with the models, and what it is asked."""

    def __init__(self, server: ServerProcess, directory: Path) -> None:
        self.server = server
        self.bodies = directory / "bodies.txt"
        rows = np.random.default_rng(1).normal(size=(64, COLUMNS)).round(4).tolist()
        self.bodies.write_text("\n".join(json.dumps({"input": [row]}) for row in rows))
        for path in sorted(directory.glob("*.pkl")):
            server.upload(path)

    def lead(self, ensemble: dict[str, Any] | None) -> None:
        """Let `one` go by an ensemble; None leaves its route."""
        if ensemble is None:
            return
        token = (self.server.data_dir / "admin-token").read_text()
        httpx.put(
            f"{self.server.facts['admin']}/admin/v1/models/one/route",
            json={"ensemble": ensemble},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        ).raise_for_status()

    def url(self, reference: str) -> str:
        """Return where a reference is asked."""
        return f"{self.server.url}/model/{reference}/predict"

    def check(self, reference: str) -> None:
        """See that it answers, and warm it up."""
        for body in self.bodies.read_text().splitlines():
            httpx.post(self.url(reference), content=body).raise_for_status()


def train(directory: Path) -> None:
    """Write the three models, and one that is trained on their answers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, COLUMNS))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    made = [LogisticRegression(C=c).fit(x, y) for c in (0.1, 1.0, 10.0)]
    for name, model in zip(NAMES, made, strict=True):
        joblib.dump(model, directory / f"{name}.pkl")
    columns = np.hstack([model.predict_proba(x) for model in made])
    joblib.dump(LogisticRegression().fit(columns, y), directory / "meta.pkl")


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Let a process stand still now and then."""
    over = threading.Event()

    def pause() -> None:
        while not over.wait(EVERY_S - PAUSE_S):
            os.kill(pid, signal.SIGSTOP)
            over.wait(PAUSE_S)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def medians(
    cases: dict[str, Case], bench: Bench, rounds: int, measure: Callable[[str], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Measure all cases in turn, so many times; return the median of each figure."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (reference, ensemble) in cases.items():
            bench.lead(ensemble)
            bench.check(reference)
            found[name].append(measure(bench.url(reference)))
    return {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for name, runs in found.items()
    }


def loaded(bench: Bench, rounds: int, seconds: int) -> None:
    """Print throughput, latency and processor time of the quick cases."""

    def measure(url: str) -> dict[str, float]:
        figures = {}
        own = processes.own(bench.server.facts["pid"], "no mark")
        for connections in CONNECTIONS:
            before = processes.cpu_s(own)
            run = wrk(url, bench.bodies, connections, seconds, {"NO_STORE": "1"})
            spent = processes.cpu_s(own)
            if run["errors"]:
                raise SystemExit(f"{url}: {run}")
            figures[f"rps_{connections}"] = run["requests"] / run["seconds"]
            figures[f"p50_{connections}"] = run["p50_us"] / 1000
            for part, cpu_s in spent.items():
                figures[f"{part}_{connections}"] = (cpu_s - before[part]) / run["requests"] * 1e6
        return figures

    print("Each: requests/s, p50 ms, processor time a request in the gateway and in runtimes, us\n")
    print("| | 1 connection | | | | 16 connections | | | |\n|---|---|---|---|---|---|---|---|---|")
    for name, told in medians(quick(), bench, rounds, measure).items():
        cells = (
            f"{told[f'rps_{n}']:,.0f} | {told[f'p50_{n}']:.2f} | {told[f'gateway_{n}']:.0f} | "
            f"{told[f'runtime_{n}']:.0f}"
            for n in CONNECTIONS
        )
        print(f"| {name} | {' | '.join(cells)} |")


def late(bench: Bench, rounds: int, seconds: int) -> None:
    """Print latencies while one member stands still now and then."""
    bodies = bench.bodies.read_text().splitlines()
    (replica,) = bench.server.json("show", "three")["replicas"]

    def measure(url: str) -> dict[str, float]:
        with standing_still(replica["pid"]):
            return offer(url, bodies, connections=64, rate=RATE, seconds=seconds)

    print(f"\n{RATE:g} requests/s\n\n| | p50 ms | p99 ms | failed |\n|---|---|---|---|")
    for name, told in medians(straggling(), bench, rounds, measure).items():
        print(f"| {name} | {told['p50_ms']:.2f} | {told['p99_ms']:.2f} | {told['failed']:.0f} |")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        train(directory)
        with ServerProcess(directory / "data") as server:
            bench = Bench(server, directory)
            loaded(bench, told.rounds, told.seconds)
            late(bench, told.rounds, told.seconds)


if __name__ == "__main__":
    main()
