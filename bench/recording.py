"""What it costs to record requests: ``python -m bench.recording [SECONDS]``.

First the steps of it, each by itself: what a request pays before the next one has its turn, what the thread
pays for it later, and packing at several levels. Then four servers at once, all idle but for the one that is
asked by wrk; they take turns, so that what the machine does meanwhile happens to all of them. Needs wrk.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from bench.load import Sample, load
from bench.measuring import Subject
from bench.ours import prepare_prism, serve_prism
from bench.servers import HERE, Place, Server, serving
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.recordings.recorder import Recorder, exchange_of
from prism_core.gateway.traffic.sender import NOBODY
from prism_core.traffic.recording import Recording
from prism_core.traffic.route import Route
from prism_core.types import Signature, TensorSpec

CALLS, ROUNDS = 2000, 15
CONNECTIONS = 64
LEVELS = (1, 3, 6, 9)
WAYS = {
    "no route": None,
    "a route": {"timeout_ms": 30_000},
    "recorded": {"record": {}},
    "redacted": {"record": {"redact": ["id"]}},
}
NAMES = tuple(f"x{at}" for at in range(30))
SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 30), columns=NAMES),), (TensorSpec("y", "INT64", (-1,)),))


def ended(body: bytes) -> Ended:
    """Return a request that was answered, as the tap gets it."""
    head = Head("application/json", "*/*")
    outcome = Prediction(b"[0]", "application/json", "m", 1, 1)
    call = RoutedCall(1e9, "5e0c7a6f11aa-123", "m", 1, "m/1", "m/1", 200, "ok", 0.001)
    lane: Any = SimpleNamespace(signature=SIGNATURE)
    return Ended(head, body, NOBODY, lane, outcome, call)


def timed(work: Callable[[], object]) -> float:
    """Return the microseconds of processor time of ``work``."""
    begun = time.thread_time()
    work()
    return (time.thread_time() - begun) * 1e6


def steps(directory: Path, bodies: list[bytes]) -> dict[str, float]:
    """Return microseconds a request: on its way, and in the thread as it comes, and redacted."""
    found: dict[str, list[float]] = {"on the way": [], "in the thread": [], "in the thread, redacted": []}
    requests = [ended(bodies[at % len(bodies)]) for at in range(CALLS)]
    for name, recording in (("", Recording()), (", redacted", Recording(redact=("x0",)))):
        recorder = Recorder(directory / f"of{name or ' all'}", b"k" * 32, lambda model: True)
        tap: Any = recorder.tap(SimpleNamespace(model="m", route=Route(record=recording)))
        for _ in range(ROUNDS):
            taken = timed(lambda tap=tap: [tap(one) for one in requests])
            found["on the way"].append(taken / CALLS)
            found[f"in the thread{name}"].append(timed(recorder.write) / CALLS)
    return {name: statistics.median(all_us) for name, all_us in found.items()}


def packing(bodies: list[bytes]) -> list[str]:
    """Return lines about zlib: microseconds a request, and what is left of its bytes."""
    exchanges: list[Exchange] = [exchange_of(ended(bodies[at % len(bodies)])) for at in range(CALLS)]
    data = msgspec.msgpack.encode(exchanges)
    lines = []
    for level in LEVELS:
        spent = statistics.median(timed(lambda level=level: zlib.compress(data, level)) for _ in range(5))
        packed = len(zlib.compress(data, level))
        lines.append(f"zlib {level}: {spent / CALLS:.2f} us, {len(data) / packed:.1f} times smaller")
    return lines


def server_of(name: str, route: dict[str, Any] | None) -> Server:
    """Return PRISM with a route for its model."""

    def prepare(place: Place) -> None:
        prepare_prism(place)
        if route is not None:
            with (place.data / "prism.yaml").open("a") as file:
                file.write(f"routes: {json.dumps({place.model: route})}\n")

    return Server(name, serve_prism, "/model/{model}/predict", prepare=prepare)


def servers(models: Path, seconds: int) -> dict[str, list[Sample]]:
    """Load all four in turns."""
    subject = Subject(models, "logistic")
    all_servers = [server_of(name, route) for name, route in WAYS.items()]
    samples: dict[str, list[Sample]] = {name: [] for name in WAYS}
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(serving(server, models, subject.model, subject.rows[:1]))
            for server in all_servers
        ]
        for number in range(max(2, seconds // len(WAYS)) + 1):
            for server, one in zip(all_servers, running, strict=True):
                sample = load(one, subject.bodies(server), CONNECTIONS, 1)
                if number:
                    samples[server.name].append(sample)
    return samples


def main() -> None:
    """Measure and print everything."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory(prefix="prism-recording-") as directory:
        models = Path(directory) / "models"
        models.mkdir()
        subprocess.run([sys.executable, str(HERE / "models.py"), str(models)], check=True)
        rows = json.loads((models / "rows.json").read_text())["logistic"]
        bodies = [json.dumps({"input": [row]}).encode() for row in rows]
        for name, spent in steps(Path(directory), bodies).items():
            print(f"{name}: {spent:.2f} us")
        print("\n".join(packing(bodies)))
        for name, samples in servers(models, seconds).items():
            print(told(name, samples))


def told(name: str, samples: list[Sample]) -> str:
    """Return the medians of a server."""
    rps = statistics.median(one.rps for one in samples)
    p50, p99 = (statistics.median(getattr(one, field) for one in samples) for field in ("p50_ms", "p99_ms"))
    cpu = {part: statistics.median(one.cpu_us[part] for one in samples) for part in samples[0].cpu_us}
    parts = ", ".join(f"{part} {spent:.0f}" for part, spent in cpu.items())
    errors = sum(one.errors for one in samples)
    return (
        f"{name}: {rps:.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, us of processor: {parts}, {errors} errors"
    )


if __name__ == "__main__":
    main()
