"""What hedged requests do to the tail: ``python -m bench.hedging [--rate 400] [--pause-ms 30]``.

Two models of two replicas each, the same artifact: one has a route without hedges, the other one with them.
An open load asks both in turns, so that whatever the machine does meanwhile falls on both; latencies count
from when a request was due. Then the same while replicas stand still now and then (SIGSTOP, SIGCONT), as for
a garbage collector or a page that comes from disk: at times that are drawn by chance, one of each model at
the same time. Beside them: how many second questions were asked for a hundred requests, and how many of these
were answered first.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
from sklearn.linear_model import LinearRegression

from bench.openloop import Note, answered, percentile, program, rendered
from prism_core.testing.server import ServerProcess

ROUTES: dict[str, dict[str, Any]] = {
    "without": {"split": [{"version": 1}]},
    "hedged": {"split": [{"version": 1}], "hedge": {}},
}
WHAT = ("asked", "won", "no_budget", "no_room")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.hedging")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second, half of them to each")
    parser.add_argument("--pause-ms", type=float, default=30.0, help="how long a replica stands still")
    parser.add_argument("--gap-ms", type=float, default=400.0, help="how long it runs in between, on average")
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    program()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as server:
        for pauses in (False, True):
            print("\nreplicas stand still now and then" if pauses else "\nall is well")
            compare(server, asked, standing_still(server, asked) if pauses else nullcontext())


@contextmanager
def serving(directory: Path) -> Iterator[ServerProcess]:
    """Run a server with both models, which are warm."""
    x = np.arange(4.0).reshape(-1, 1)
    joblib.dump(LinearRegression().fit(x, x[:, 0] * 2), directory / "m.pkl")
    with ServerProcess(directory / "data", "--log-level", "warning") as server:
        for name, route in ROUTES.items():
            server.upload(directory / "m.pkl", "--name", name, "--replicas", "2")
            lead(server, name, route)
        load(server, 200.0, 2.0)
        yield server


def compare(server: ServerProcess, asked: argparse.Namespace, meanwhile: Any) -> None:
    """Ask both models, and print what came of it."""
    before = counted(server)
    with meanwhile:
        found = load(server, asked.rate, asked.seconds)
    after = counted(server)
    for name, notes in found.items():
        print(told(name, notes), flush=True)
    hedges = {what: after[what] - before[what] for what in WHAT}
    parts = ", ".join(f"{what} {count:.0f}" for what, count in hedges.items())
    extra = 100 * hedges["asked"] / len(found["hedged"])
    print(f"  second questions: {extra:.2f} % of the requests ({parts})")


def told(name: str, notes: Sequence[Note]) -> str:
    """Return a line about one model."""
    times = [note.answered_us / 1000 for note in notes if note.status == 200]
    tail = ", ".join(f"p{part:g} {percentile(times, part):.2f} ms" for part in (50, 95, 99, 99.9))
    failed = len(notes) - len(times)
    return f"  {name:8} {tail}, longest {max(times):.1f} ms; {len(notes)} asked, {failed} failed"


def load(server: ServerProcess, rate: float, seconds: float) -> dict[str, list[Note]]:
    """Ask both models in turns."""
    bodies = [f'{{"input": [[{value}]]}}' for value in range(64)]
    asked = [rendered(f"{server.url}/model/{name}/predict", bodies) for name in ROUTES]
    turns = [request for pair in zip(*asked, strict=True) for request in pair]
    notes = answered(server.url, turns, connections=32, rate=rate, seconds=seconds)
    return {name: notes[place :: len(ROUTES)] for place, name in enumerate(ROUTES)}


@contextmanager
def standing_still(server: ServerProcess, asked: argparse.Namespace) -> Iterator[None]:
    """Let the replicas stand still now and then, the first of both models together, and the second."""
    over = threading.Event()
    pids = [[one["pid"] for one in server.json("show", name)["replicas"]] for name in ROUTES]
    threads = [threading.Thread(target=pause, args=(pair, asked, over)) for pair in zip(*pids, strict=True)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def pause(pids: Sequence[int], asked: argparse.Namespace, over: threading.Event) -> None:
    """Stop processes again and again."""
    chance = random.Random(pids[0])
    while not over.wait(chance.expovariate(1000 / asked.gap_ms)):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        over.wait(asked.pause_ms / 1000)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def counted(server: ServerProcess) -> dict[str, float]:
    """Return what became of second questions so far."""
    found = dict.fromkeys(WHAT, 0.0)
    for line in server.metrics().splitlines():
        for what in found:
            if line.startswith("prism_hedges_total") and f'what="{what}"' in line:
                found[what] = float(line.split()[-1])
    return found


def lead(server: ServerProcess, model: str, route: dict[str, Any]) -> None:
    """Set a route."""
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/models/{model}/route"
    httpx.put(url, json=route, headers=headers, timeout=30).raise_for_status()


if __name__ == "__main__":
    main()
