"""Load a server with wrk as fast as it answers, and what that cost the server's processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import attrs

from bench import processes
from bench.servers import HERE, Running


@attrs.frozen
class Sample:
    """One run of wrk. Processor time is microseconds a request, by part of the server."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: dict[str, float]


def load(
    running: Running, bodies: Path, connections: int, seconds: float, *, no_store: bool = True
) -> Sample:
    """Load ``running`` with the lines of ``bodies`` in turn."""
    own = running.processes()
    before = processes.cpu_s(own)
    found = wrk(running.url, bodies, connections, seconds, no_store)
    spent = processes.cpu_s(own)
    requests = max(1, found["requests"])
    return Sample(
        rps=found["requests"] / found["seconds"],
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        errors=int(found["errors"]),
        cpu_us={name: (spent[name] - before.get(name, 0)) / requests * 1e6 for name in spent},
    )


def wrk(url: str, bodies: Path, connections: int, seconds: float, no_store: bool) -> dict[str, float]:
    """Run wrk with one thread and return what its script found."""
    environment = {**os.environ, "BODIES": str(bodies)} | ({"NO_STORE": "1"} if no_store else {})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(HERE / "load.lua"), url]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))
