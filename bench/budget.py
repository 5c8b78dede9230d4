"""Where the microseconds of a small prediction go: ``python -m bench.budget``.

Every step is called as the server calls it, on the benchmark's logistic regression, with a
socket that only counts; the median of several rounds, each the mean of many calls. What the
kernel takes (read, write, poll) is not in here: `bench.run` has it, as system time a request.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from prism_core import wire
from prism_core.gateway.cache import SAMPLE, AnswerCache
from prism_core.gateway.callers.door import Door
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.lane import Lane
from prism_core.gateway.lru import Store
from prism_core.gateway.observe import Calls
from prism_core.gateway.prediction import Head
from prism_core.gateway.service import PredictService
from prism_core.manifest import Batching, Manifest
from prism_core.plugins import find, load_plugins
from prism_core.rest.accepting import _server
from prism_core.rest.predict import PredictFront, Way
from prism_core.rest.requests import made_id
from prism_core.rest.routing import Routes
from prism_core.runtime.engine import Engine
from prism_core.runtime.server import FrameConnection, Service
from prism_core.runtime.session import Session
from prism_core.specs import Artifact, CallRecord
from prism_core.types import concatenate

HERE = Path(__file__).parent
ROUNDS, CALLS, BATCH = 9, 2000, 32


class Socket:
    """A transport that takes everything and gives nothing."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def measure(step: Callable[[], Any], calls: int = CALLS) -> float:
    """Return the microseconds of one call."""
    means = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(calls):
            step()
        means.append((time.thread_time() - begun) / calls)
    return statistics.median(means) * 1e6


def load(directory: Path) -> tuple[Session, list[bytes]]:
    """Train the benchmark's models and load the logistic regression as a runtime does."""
    subprocess.run([sys.executable, str(HERE / "models.py"), str(directory)], check=True)
    plugins = load_plugins(None, built_in=("inputs",))
    loader = find(plugins.loaders, "sklearn", "loader")
    path = directory / "logistic.pkl"
    model = loader.load(Artifact(path, path.name), msgspec.convert({}, loader.options))
    manifest = Manifest("logistic", 1, "sklearn", "prism_sklearn", path.name, "sha256:0", 1, 0.0)
    normalizers = {name: one for name, one in plugins.normalizers.items() if not one.available()}
    rows = json.loads((directory / "rows.json").read_text())["logistic"]
    bodies = [json.dumps({"input": [row]}).encode() for row in rows]
    return Session(manifest, model, normalizers), bodies


def request(body: bytes, path: str = "/model/logistic/predict", secret: str = "") -> bytes:
    """Return what wrk sends."""
    shown = f"Authorization: Bearer {secret}\r\n" if secret else ""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{shown}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Gateway:
    """The gateway's side, up to a replica that answers at once."""

    def __init__(self, session: Session) -> None:
        self.records: list[CallRecord] = []
        self.lane = Lane(session.manifest, session.signature, cache=None, record=self.records.append)
        self.client = ReplicaClient("", lambda client: None)
        self.client.connection_made(Socket())  # a transport is what it is used as
        self.lane.add(self.client)
        self.lanes = {"logistic": self.lane}
        self.service = PredictService(self)

    def connection(
        self, door: Door | None = None, links: Way | None = None, routes: Routes | None = None
    ) -> Any:
        """Return a connection of the public listener."""
        front = PredictFront(
            self.service, None, max_body_bytes=1 << 20, door=door, links=links, routes=routes
        )
        server = _server(front)
        server.server_state.default_headers = [(b"date", b"Thu, 26 Nov 2026 12:00:00 GMT")]
        found = server.config.http_protocol_class(
            config=server.config, server_state=server.server_state, app_state={}
        )
        found.connection_made(Socket())
        return found

    def round_trip(self, connection: Any, data: bytes, answer: bytes) -> float:
        """Return the microseconds from a request's bytes to those of its answer."""

        def ask() -> None:
            connection.data_received(data)
            self.client._flush()
            self.client.data_received(self.reply(answer))

        return measure(ask) - measure(lambda: self.reply(answer))

    def reply(self, body: bytes) -> bytes:
        """Return the frame that answers the newest call."""
        reply = wire.Reply(self.client._last_id, "application/json", 1, BATCH, 500, 100)
        return wire.encode(reply, len(body)) + body


async def gateway_steps(session: Session, body: bytes) -> dict[str, float]:
    """Return the steps of the gateway, and their sum as one request takes it."""
    gateway, answer = Gateway(session), b'{"model":"logistic","version":1,"predictions":[0]}'
    connection, data = gateway.connection(), request(body)
    heads, end = connection._heads, data.index(b"\r\n\r\n") + 4
    numbered = data[:end].replace(b"\r\n\r\n", b"\r\nX-Request-Id: 0b6f9e2c-17\r\n\r\n")
    cache = AnswerCache(Store(1 << 20), b"salt", 60)
    head, receiver = Head("application/json"), wire.Receiver()
    frame = gateway.reply(answer)
    record = CallRecord("logistic", 1, 200, "ok", 1, 32, 0.001, 0.0001, 0.002, "bypass")
    calls = Calls()
    prediction = await _prediction(gateway, answer)
    await asyncio.sleep(0)
    return {
        "find the known head": measure(lambda: heads.known.get(data[: data.find(b"\r\n\r\n") + 4])),
        "(find one with an id in it)": measure(lambda: heads.find(numbered)),
        "make an id": measure(made_id),
        "(parse a head that is new)": measure(lambda: heads._read(data[:end])),
        "take the body": measure(lambda: data[end:]),
        "cache: key and look-up": measure(
            lambda: cache.lookup(cache.key(head.mark, body) or b""), SAMPLE // ROUNDS - 1
        ),
        "frame of the call": measure(
            lambda: wire.encode(wire.Call(1, "application/json", "", 30000.0, "", ""), len(body))
        ),
        "frame of the reply": measure(lambda: list(receiver.feed(frame))),
        "head and body of the answer": measure(
            lambda: connection._written(prediction, b"content-type: application/json\r\n")
        ),
        "record, and count it for the metrics": measure(lambda: calls.add([record]))
        + measure(lambda: CallRecord("logistic", 1, 200, "ok", 1, 32, 0.001, 0.0001, 0.002, "bypass")),
        "all of the gateway, without the cache": gateway.round_trip(connection, data, answer),
    }


async def _prediction(gateway: Gateway, answer: bytes) -> Any:
    asking = asyncio.ensure_future(gateway.lane.predict(Head(), b"{}"))
    await asyncio.sleep(0)
    gateway.client._flush()
    gateway.client.data_received(gateway.reply(answer))
    return await asking


async def runtime_steps(session: Session, bodies: list[bytes]) -> dict[str, float]:
    """Return the steps of the runtime; those that a batch shares are divided by its rows."""
    views = [memoryview(body) for body in bodies[:BATCH]]
    batches = [session.read(view) for view in views]
    joined, alone = concatenate(batches), batches[0]
    one = session.execute(batches[:1])
    frames = b"".join(
        wire.encode(wire.Call(at, timeout_ms=30000.0), len(body)) + body
        for at, body in enumerate(bodies[:BATCH], 1)
    )
    receiver = wire.Receiver()
    engine = Engine(session, Batching())
    connection = FrameConnection(Service(engine), Socket())
    connection._greeted = True
    await _serving(engine, connection, frames, 20)  # its speed becomes known
    few = CALLS // BATCH
    steps = {
        "frames of the calls": measure(lambda: list(receiver.feed(frames)), few) / BATCH,
        "decode, check, lay out": measure(lambda: session.read(views[0])),
        "what may be joined": measure(lambda: session.kind(alone)),
        "concatenate": measure(lambda: concatenate(batches), few) / BATCH,
        f"predict (alone: {measure(lambda: session.model.predict(alone)):.1f})": measure(
            lambda: session.model.predict(joined), few
        )
        / BATCH,
        "encode": measure(lambda: session.write(one)),
        "frame of the reply": measure(
            lambda: wire.encode(wire.Reply(1, "application/json", 1, 32, 500, 100), 50)
        ),
    }
    first = wire.encode(wire.Call(1, timeout_ms=30000.0), len(bodies[0])) + bodies[0]
    together = await _serving(engine, connection, frames, few) / BATCH
    lone = await _serving(engine, connection, first, CALLS)
    engine.close()
    return steps | {f"all of the runtime, {BATCH} together": together, "all of the runtime, alone": lone}


async def _serving(engine: Engine, connection: FrameConnection, frames: bytes, calls: int) -> float:
    """Return the microseconds from frames to answers.

    A slow moment sends the next executions to the worker thread; these are waited for.
    """
    means = []
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(calls):
            begun = time.thread_time()
            connection.data_received(frames)
            spent += time.thread_time() - begun
            while engine._busy or engine.queue.waiting_rows:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0)
        means.append(spent / calls)
    return statistics.median(means) * 1e6


def table(steps: dict[str, float]) -> str:
    """Return Markdown."""
    return "\n".join(["| step | us |", "|---|--:|", *(f"| {k} | {v:.2f} |" for k, v in steps.items())])


async def main() -> None:
    """Measure and print both sides."""
    with tempfile.TemporaryDirectory(prefix="prism-budget-") as directory:
        session, bodies = load(Path(directory))
    print(table(await gateway_steps(session, bodies[0])))
    print()
    print(table(await runtime_steps(session, bodies)))


if __name__ == "__main__":
    asyncio.run(main())
