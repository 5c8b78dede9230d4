"""What a slow shadow costs live traffic: ``python -m bench.shadows [--spin-ms 50] [--rounds 10] [--mirror]``.

A server with two versions of a small model, the second of which computes for so long. Each load is measured
with the second one as a shadow and without, in turns; told are medians without it, the medians of by how
much the one is more than the other right beside it, and how often the shadow was asked. The loads are:
requests at a steady rate whatever the answers take, one client that asks again at once, and as many as the
server can take. With ``--mirror`` shadows are asked as a mirror in a proxy asks them: each request, at once.
The model is that of the integration tests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
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
# What makes a mirror of shadows: another plugin.
MIRROR = """
from prism_core.gateway.traffic.shadows import shadows
shadows.MOST_ASKED = 1000
shadows.Shadows._is_live = lambda self, now: False
shadows.Shadows._is_busy = lambda self, question: False
shadows.Pace.wait_s = lambda self, now: 0.0
"""
BODY = json.dumps({"input": [[1]]})
FIGURES = ("rps", "p50_ms", "p99_ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.shadows")
    parser.add_argument("--spin-ms", type=float, default=50.0, help="how long the shadow computes")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--mirror", action="store_true", help="ask it at once, without a budget")
    asked = parser.parse_args()
    program()
    with tempfile.TemporaryDirectory() as directory:
        bodies = Path(directory) / "bodies"
        bodies.write_text(BODY + "\n")
        with serving(Path(directory), asked.spin_ms, mirror=asked.mirror) as server:
            for name, load in loads(server, bodies, asked.seconds).items():
                print(f"{name:26} {compared(server, load, asked.rounds)}", flush=True)


@contextlib.contextmanager
def serving(directory: Path, spin_ms: float, *, mirror: bool) -> Iterator[ServerProcess]:
    """Run a server with the model and its slow second version."""
    site = directory / "site"
    plugins = {"odd": PLUGIN.read_text(), **({"mirror": MIRROR} if mirror else {})}
    for name, source in plugins.items():
        install(site, name, source)
    os.environ["PYTHONPATH"] = str(site)
    with ServerProcess(directory / "data", "--plugins", ",".join(plugins)) as server:
        for says in ({}, {"spin_s": spin_ms / 1000}):
            artifact = directory / "m.odd"
            artifact.write_text(json.dumps(says))
            server.upload(artifact, "--name", "m")
        yield server


def install(site: Path, name: str, source: str) -> None:
    """Install a plugin of one file."""
    info = site / f"prism_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"prism_{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: prism-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[prism]\n{name} = prism_{name}\n")


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
    """Return the medians of a load without the shadow, and by how much they are more with it."""
    lead(server, "DELETE", "shadows")
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for number in range(rounds):
        for shadowed in (False, True) if number % 2 else (True, False):
            shadow = [{"version": 2}] if shadowed else []
            lead(server, "PUT", "route", {"split": [{"version": 1}], "shadow": shadow})
            found[shadowed].append(load())
    told = []
    for figure in FIGURES:
        without, beside = ([run[figure] for run in found[kind]] for kind in (False, True))
        ratios = [one / other for one, other in zip(beside, without, strict=True)]
        told.append(f"{figure} {statistics.median(without):.4g} x {statistics.median(ratios):.2f}")
    pairs = lead(server, "GET", "shadows")["shadows"]
    asked, dropped = (sum(counts) for counts in zip(*map(_counts, pairs), strict=True))
    return f"{', '.join(told)}; asked {asked}, dropped {dropped}"


def _counts(pair: dict[str, Any]) -> tuple[int, int]:
    return pair["requests"], sum(pair["dropped"].values())


def lead(server: ServerProcess, method: str, path: str, body: Any = None) -> Any:
    """Ask the admin API about the model."""
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/models/m/{path}"
    return httpx.request(method, url, json=body, headers=headers, timeout=30).raise_for_status().json()


if __name__ == "__main__":
    main()
