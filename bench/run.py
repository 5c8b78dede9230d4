"""Run PRISM and its peers side by side and write the table: ``make bench``.

Each server is started alone, warmed up, measured with wrk and stopped; rounds go through
all of them in turn, and the medians of the rounds count. Every request carries
``Cache-Control: no-store``, so PRISM computes each answer; the cache has a line of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
MODELS = {"logistic": "logistic.pkl", "forest": "forest.pkl", "mlp": "mlp.onnx"}
TITLES = {
    "logistic": "M1 logistic regression",
    "forest": "M2 forest of 100 trees",
    "mlp": "M3 ONNX MLP",
}
CONNECTIONS = (1, 16, 64)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def prism(directory: Path, model: str) -> Iterator[str]:
    """Serve ``model`` by PRISM, as its README says; yield the predict URL."""
    with tempfile.TemporaryDirectory(prefix="prism-bench-") as data:
        command = [sys.executable, "-m", "prism_core.cli", "serve", "--host", "127.0.0.1", "--json"]
        command += ["--port", "0", "--admin-port", "0", "--data-dir", data]
        with running(command, {}) as server:
            assert server.stdout is not None
            json.loads(server.stdout.readline())
            upload = [sys.executable, "-m", "prism_core.cli", "upload", str(directory / MODELS[model])]
            upload += ["--name", model, "--json", "--data-dir", data]
            yield json.loads(subprocess.run(upload, check=True, capture_output=True).stdout)["url"]


@contextlib.contextmanager
def fastapi(directory: Path, model: str) -> Iterator[str]:
    """Serve ``model`` by the hand-written FastAPI application."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", str(port), "--no-access-log"]
    command += ["--log-level", "warning", "--app-dir", str(HERE / "peers")]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with running(command, {"MODEL": str(directory / MODELS[model]), **threads}):
        yield f"http://127.0.0.1:{port}/predict"


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends."""
    server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    try:
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        if server.stdout:
            server.stdout.close()


SERVERS: dict[str, Callable[[Path, str], contextlib.AbstractContextManager[str]]] = {
    "PRISM": prism,
    "FastAPI": fastapi,
}


def load(
    url: str, bodies: Path, connections: int, seconds: float, *, no_store: bool = True
) -> dict[str, float]:
    """Load ``url`` with wrk and return requests/s, p50 and p99 in ms, and errors."""
    environment = {**os.environ, "BODIES": str(bodies)} | ({"NO_STORE": "1"} if no_store else {})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(HERE / "load.lua"), url]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found = json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:])
    return {
        "rps": found["requests"] / found["seconds"],
        "p50_ms": found["p50_us"] / 1000,
        "p99_ms": found["p99_us"] / 1000,
        "errors": found["errors"],
    }


def wait_ready(url: str, body: str) -> dict[str, Any]:
    """Ask until the server answers; return the answer."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(url, content=body, headers={"content-type": "application/json"})
            answer.raise_for_status()
            return dict(answer.json())
        if time.monotonic() > deadline:
            raise SystemExit(f"{url} did not come up")
        time.sleep(0.05)


def measure(directory: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the medians for every model, server and number of connections."""
    runs: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    rows = json.loads((directory / "rows.json").read_text())
    for number in range(rounds):
        for model in MODELS:
            bodies = directory / f"{model}.jsonl"
            bodies.write_text("\n".join(json.dumps({"input": [row]}) for row in rows[model]))
            first = json.dumps({"input": rows[model][:1]})
            answers = set()
            for name, serve in SERVERS.items():
                with serve(directory, model) as url:
                    answers.add(json.dumps(wait_ready(url, first)["predictions"]))
                    load(url, bodies, 16, 1)
                    for connections in CONNECTIONS:
                        key = (model, name, str(connections))
                        runs.setdefault(key, []).append(load(url, bodies, connections, seconds))
                        print(
                            f"round {number + 1} {model} {name} c={connections}: {runs[key][-1]}", flush=True
                        )
                    if name == "PRISM":
                        key = (model, "PRISM, cached", "64")
                        runs.setdefault(key, []).append(load(url, bodies, 64, seconds, no_store=False))
            if len(answers) > 1:
                raise SystemExit(f"The servers disagree about {model}: {answers}")
    medians: dict[str, Any] = {}
    for (model, name, connections), results in runs.items():
        of = {field: statistics.median(r[field] for r in results) for field in results[0]}
        of["rps_spread"] = [min(r["rps"] for r in results), max(r["rps"] for r in results)]
        medians.setdefault(model, {}).setdefault(name, {})[connections] = of
    return medians


def machine() -> dict[str, str]:
    """Return what the numbers were measured on."""
    packages = ("prism-core", "scikit-learn", "onnxruntime", "numpy", "uvicorn", "fastapi")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| model | server | p50 ms, c=1 | p99 ms, c=1 | req/s, c=1 | req/s, c=16 "
        "| p50 / p99 ms, c=64 | req/s, c=64 |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for model, servers in results.items():
        for name, by in servers.items():
            last = by["64"]
            cells = [TITLES[model], name]
            if "1" in by:
                cells += [f"{by['1']['p50_ms']:.2f}", f"{by['1']['p99_ms']:.2f}"]
                cells += [f"{by['1']['rps']:,.0f}", f"{by['16']['rps']:,.0f}"]
            else:
                cells += ["", "", "", ""]
            cells += [f"{last['p50_ms']:.2f} / {last['p99_ms']:.2f}", f"{last['rps']:,.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write it to ``bench/results``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latest.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prism-bench-models-") as directory:
        subprocess.run([sys.executable, str(HERE / "models.py"), directory], check=True)
        results = measure(Path(directory), arguments.rounds, arguments.seconds)
    document = {"machine": machine(), "arguments": vars(arguments) | {"out": ""}, "medians": results}
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    print(table(results))
    for model, servers in results.items():
        print(
            f"{model}: {servers['PRISM']['64']['rps'] / servers['FastAPI']['64']['rps']:.1f} x FastAPI at 64"
        )


if __name__ == "__main__":
    main()
