"""Load a server with wrk as fast as it answers, and what that cost the server's processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.servers import HERE, Running


class Sample(NamedTuple):
    """One run of wrk. Processor time is microseconds a request, by part of the server."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: dict[str, float]


def load(
    running: Running, bodies: Path, connections: int, seconds: int, *, unique: int | None = None
) -> Sample:
    """Load ``running`` with the lines of ``bodies`` in turn.

    With ``unique`` each body has a mark, `MARK`, that becomes a number counting on from it.
    """
    own = running.processes()
    before = processes.cpu_s(own)
    found = wrk(running.url, bodies, connections, seconds, variables(running, unique))
    spent = processes.cpu_s(own)
    requests = max(1, found["requests"])
    return Sample(
        rps=found["requests"] / found["seconds"],
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        errors=int(found["errors"]),
        cpu_us={name: (spent[name] - before.get(name, 0)) / requests * 1e6 for name in spent},
    )


MARK = "@" * 8


def variables(running: Running, unique: int | None) -> dict[str, str]:
    """Return what the script is told."""
    told = {"NO_STORE": "1"} if running.server.no_store else {}
    return told if unique is None else told | {"UNIQUE": str(unique)}


def wrk(
    url: str,
    bodies: Path,
    connections: int,
    seconds: int,
    environment: dict[str, str],
    prefix: Sequence[str] = (),
) -> dict[str, float]:
    """Run wrk with one thread and return what its script found; ``prefix`` are words before its command."""
    told = {**os.environ, "BODIES": str(bodies)} | environment
    command = [*prefix, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    command += ["-s", str(HERE / "load.lua"), url]
    output = subprocess.run(command, env=told, check=True, capture_output=True, text=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))
