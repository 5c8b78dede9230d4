"""What a slow shadow costs live traffic: ``python -m bench.shadows [--spin-ms 50] [--rounds 3]``.

A server with two versions of a small model, the second of which computes for so long. Each load is measured
with the second one as a shadow and without, in turns; then it is told how often the shadow was asked. The
loads are: requests at a steady rate whatever the answers take, one client that asks again at once, and as
many as the server can take. The model is that of the integration tests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from bench.load import wrk
from bench.openloop import offer, program
from prism_core.testing.server import ServerProcess

PLUGIN = Path(__file__).parents[1] / "tests/integration/traffic/prism_odd.py"
BODY = json.dumps({"input": [[1]]})
FIGURES = ("rps", "p50_ms", "p99_ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.shadows")
    parser.add_argument("--spin-ms", type=float, default=50.0, help="how long the shadow computes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    program()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), asked.spin_ms) as server:
        bodies = Path(directory) / "bodies"
        bodies.write_text(BODY + "\n")
        for name, load in loads(server, bodies, asked.seconds).items():
            print(f"{name:32} {compared(server, load, asked.rounds)}", flush=True)


@contextlib.contextmanager
def serving(directory: Path, spin_ms: float) -> Iterator[ServerProcess]:
    """Run a server with the model and its slow second version."""
    info = directory / "site/prism_odd-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(PLUGIN, directory / "site")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nodd = prism_odd\n")
    os.environ["PYTHONPATH"] = str(directory / "site")
    with ServerProcess(directory / "data", "--plugins", "odd") as server:
        for says in ({}, {"spin_s": spin_ms / 1000}):
            artifact = directory / "m.odd"
            artifact.write_text(json.dumps(says))
            server.upload(artifact, "--name", "m")
        yield server


def loads(server: ServerProcess, bodies: Path, seconds: float) -> dict[str, Callable[[], dict[str, float]]]:
    """Return the loads; each returns requests a second, and milliseconds."""
    url = f"{server.url}/model/m/predict"

    def steady(rate: float) -> dict[str, float]:
        found = offer(url, [BODY], connections=16, rate=rate, seconds=seconds)
        assert not found["failed"]
        return {"rps": found["accepted_rps"], "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"]}

    def closed(connections: int) -> dict[str, float]:
        found = wrk(url, bodies, connections, int(seconds), {"NO_STORE": "1"})
        assert not found["errors"]
        times = {"p50_ms": found["p50_us"] / 1000, "p99_ms": found["p99_us"] / 1000}
        return {"rps": found["requests"] / found["seconds"], **times}

    return {
        "50 a second": lambda: steady(50),
        "500 a second": lambda: steady(500),
        "one client, again at once": lambda: closed(1),
        "32 clients, again at once": lambda: closed(32),
    }


def compared(server: ServerProcess, load: Callable[[], dict[str, float]], rounds: int) -> str:
    """Return the medians of a load without the shadow, and with it by how much they are more."""
    lead(server, "DELETE", "shadows")
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for number in range(rounds):
        for shadowed in (False, True) if number % 2 else (True, False):
            shadow = [{"version": 2}] if shadowed else []
            lead(server, "PUT", "route", {"split": [{"version": 1}], "shadow": shadow})
            found[shadowed].append(load())
    without, beside = (
        {one: statistics.median(run[one] for run in found[kind]) for one in FIGURES} for kind in (False, True)
    )
    told = [f"{one} {without[one]:.4g} x {beside[one] / without[one]:.3f}" for one in FIGURES]
    (pair,) = lead(server, "GET", "shadows")["shadows"]
    return f"{', '.join(told)}; asked {pair['requests']}, dropped {sum(pair['dropped'].values())}"


def lead(server: ServerProcess, method: str, path: str, body: Any = None) -> Any:
    """Ask the admin API about the model."""
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/models/m/{path}"
    return httpx.request(method, url, json=body, headers=headers, timeout=30).raise_for_status().json()


if __name__ == "__main__":
    main()
