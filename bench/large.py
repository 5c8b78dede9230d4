"""Large inputs, and small requests beside them: ``python bench/large.py``.

One real ``prism serve`` with three models: ``table`` and ``other`` (ONNX, 50 numbers a row) and
``image`` (ONNX, 3x224x224). First each large body is sent over and over on one connection:
answers a second, latency, and the processor time that gateway and replica spend on one. Then a
stream of them goes on while another process sends small requests, to the same model and to
another: at a constant rate and in a closed loop on four connections. Every request says
``Cache-Control: no-store``; ``--cached`` leaves that out for the large ones alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import math
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import numpy as np
import psutil

from prism_core.testing.server import ServerProcess

ROWS, COLUMNS = 10_000, 50
IMAGE = (3, 224, 224)
SMALL_RATE = 200
CONNECTIONS = 4
WARM_UP_S = 0.5


# --- models and bodies ---------------------------------------------------------------------


def train(directory: Path) -> None:
    """Write ``table.onnx`` and ``image.onnx``."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(500, COLUMNS)).astype(np.float32)
    table = to_onnx(LogisticRegression().fit(x, x[:, 0] > 0), x[:1], options={"zipmap": False})
    (directory / "table.onnx").write_bytes(table.SerializeToString())
    (directory / "image.onnx").write_bytes(_image_model())


def _image_model() -> bytes:
    """Return a graph that reads every pixel and computes little: the way of the bytes is what is measured."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(IMAGE[0], 10)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", *IMAGE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@attrs.frozen
class Body:
    """A request's body: what it is, which model takes it, its media type and its bytes."""

    name: str
    model: str
    media_type: str
    data: bytes


def bodies() -> list[Body]:
    """Return the large bodies."""
    rng = np.random.default_rng(1)
    image = rng.normal(size=(1, *IMAGE)).astype(np.float32)
    table = rng.normal(size=(ROWS, COLUMNS)).round(6)
    npy, matrix = io.BytesIO(), io.BytesIO()
    np.save(npy, image)
    np.save(matrix, table.astype(np.float32))
    lines = "\n".join(",".join(map(str, row)) for row in table.tolist())
    return [
        Body("image, octet-stream", "image", "application/octet-stream", image.tobytes()),
        Body("image, npy", "image", "application/x-npy", npy.getvalue()),
        Body("table, npy", "table", "application/x-npy", matrix.getvalue()),
        Body("table, JSON", "table", "application/json", json.dumps({"input": table.tolist()}).encode()),
        Body("table, CSV", "table", "text/csv", lines.encode()),
    ]


def small_body() -> bytes:
    """Return one row as JSON."""
    row = np.random.default_rng(2).normal(size=COLUMNS).round(4).tolist()
    return json.dumps({"input": [row]}).encode()


def request(url: str, media_type: str, data: bytes, *, cached: bool) -> bytes:
    """Return the bytes of an HTTP request."""
    parts = urlsplit(url)
    keep = "" if cached else "Cache-Control: no-store\r\n"
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {media_type}\r\n"
    return f"{head}{keep}Content-Length: {len(data)}\r\n\r\n".encode() + data


# --- one connection, as little as it takes ----------------------------------------------------


class Connection:
    """A blocking HTTP connection: one request at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def ask(self, message: bytes) -> bytes:
        """Send ``message``; return the body of its answer, which must be a 200."""
        self._socket.sendall(message)
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(self._data) < length:
            self._receive()
        body, self._data = self._data[:length], self._data[length:]
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"{head.decode()}\n{body[:500].decode()}")
        return body

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        self._data += data


def repeat(url: str, message: bytes, seconds: float) -> list[float]:
    """Ask over and over; return the latencies in ms, without those of the warm-up."""
    connection = Connection(url)
    begun = time.perf_counter()
    found = []
    while (now := time.perf_counter()) < begun + WARM_UP_S + seconds:
        connection.ask(message)
        if now > begun + WARM_UP_S:
            found.append((time.perf_counter() - now) * 1000)
    return found


# --- small requests ----------------------------------------------------------------------------


async def steady(url: str, message: bytes, seconds: float) -> list[float]:
    """Send `SMALL_RATE` requests a second, whatever comes back when: none waits for another's answer."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    found: list[float] = []
    begun = time.perf_counter()

    async def one() -> None:
        stream = free.get_nowait() if not free.empty() else await _open(url)
        sent = time.perf_counter()
        good = await _exchange(*stream, message)
        if sent > begun + WARM_UP_S:
            found.append((time.perf_counter() - sent) * 1000 if good else math.inf)
        free.put_nowait(stream)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int((WARM_UP_S + seconds) * SMALL_RATE)):
            due = begun + number / SMALL_RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one())
    return found


async def closed(url: str, message: bytes, seconds: float) -> list[float]:
    """Ask on `CONNECTIONS` connections, each again as soon as it is answered."""
    found: list[float] = []
    begun = time.perf_counter()

    async def one() -> None:
        stream = await _open(url)
        while (now := time.perf_counter()) < begun + WARM_UP_S + seconds:
            good = await _exchange(*stream, message)
            if now > begun + WARM_UP_S:
                found.append((time.perf_counter() - now) * 1000 if good else math.inf)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(one())
    return found


async def _open(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bool:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    if head.startswith(b"HTTP/1.1 503"):
        return False  # the machine is busy with something else: it is counted
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{head.decode()}\n{body[:500].decode()}")
    return True


PATTERNS = {"steady": steady, "closed": closed}


# --- runs ---------------------------------------------------------------------------------------


def summary(latencies: list[float], seconds: float) -> dict[str, float]:
    """Return rate, p50, p99 and the worst; those that were refused are counted apart."""
    refused = sum(map(math.isinf, latencies))
    latencies = [one for one in latencies if not math.isinf(one)]
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "refused": refused,
        "rps": round(len(latencies) / seconds, 1),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "max_ms": round(max(latencies), 2),
    }


def processor_s(server: ServerProcess) -> dict[str, float]:
    """Return the processor seconds of the gateway and of all replicas so far."""
    gateway, *others = server.processes()

    def used(process: psutil.Process) -> float:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            return float(times.user + times.system)
        return 0.0

    return {"gateway": used(gateway), "replica": sum(map(used, others))}


def calmest(server: ServerProcess, attempts: int, run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the run in which other programs of the machine took the least processor time, and how much.

    Repeated at most ``attempts`` times; a twentieth of a core is as calm as it gets.
    """
    best: dict[str, float] = {}
    for _ in range(attempts):
        ours, busy, begun = _ours(server), _busy(), time.perf_counter()
        found = run()
        seconds = time.perf_counter() - begun
        others = (_busy() - busy - (_ours(server) - ours)) / seconds
        if not best or others < best["others_cpu"]:
            best = found | {"others_cpu": round(max(0.0, others), 2)}
        if best["others_cpu"] < 0.05:
            break
    return best


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.softirq + times.irq)


def _ours(server: ServerProcess) -> float:
    own = psutil.Process().cpu_times()
    clients = own.user + own.system + own.children_user + own.children_system
    return float(clients) + sum(processor_s(server).values())


def alone(server: ServerProcess, body: Body, seconds: float, cached: bool) -> dict[str, float]:
    """Send one large body over and over."""
    url = f"{server.url}/model/{body.model}/predict"
    before, begun = processor_s(server), time.perf_counter()
    latencies = repeat(url, request(url, body.media_type, body.data, cached=cached), seconds)
    spent = {name: used - before[name] for name, used in processor_s(server).items()}
    count = len(latencies) * (time.perf_counter() - begun) / seconds
    found = summary(latencies, seconds)
    return found | {f"{name}_cpu_ms": round(s / count * 1000, 2) for name, s in spent.items()}


@contextlib.contextmanager
def client(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this script as a client in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def beside(
    server: ServerProcess, body: Body | None, model: str, pattern: str, seconds: float, directory: Path
) -> dict[str, float]:
    """Measure small requests to ``model`` while ``body`` is sent over and over, or nothing is."""
    url = f"{server.url}/model/{model}/predict"
    small = directory / "small"
    small.write_bytes(request(url, "application/json", small_body(), cached=False))
    large = directory / "large"
    with contextlib.ExitStack() as running:
        if body:
            target = f"{server.url}/model/{body.model}/predict"
            large.write_bytes(request(target, body.media_type, body.data, cached=False))
            running.enter_context(client("large", target, str(large), str(seconds + 30)))
            time.sleep(1)
        process = running.enter_context(client(pattern, url, str(small), str(seconds)))
        assert process.stdout is not None
        return dict(json.loads(process.stdout.readline()))


def measure(server: ServerProcess, arguments: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Return all results, printing each as it comes."""
    results: dict[str, Any] = {"alone": {}, "beside": {}}
    chosen = [body for body in bodies() if arguments.only in body.name]
    for body in chosen:
        run = partial(alone, server, body, arguments.seconds, arguments.cached)
        found = calmest(server, arguments.attempts, run)
        results["alone"][body.name] = {"bytes": len(body.data), **found}
        print(f"{body.name:22} {len(body.data):>10,} bytes  {found}", flush=True)
    models = {"same": "table", "another": "other"}
    for pattern in PATTERNS if arguments.beside else ():
        for body in (None, *chosen):
            for where, model in models.items():
                if (body is None or body.model == "image") and where == "another":
                    continue  # nothing to be beside, or it was beside another model already
                run = partial(beside, server, body, model, pattern, arguments.seconds, directory)
                found = calmest(server, arguments.attempts, run)
                name = f"{pattern}, {'alone' if body is None else f'beside {body.name}'}, {where} model"
                if body is not None and body.model == "image":
                    name = name.replace("same", "another")
                results["beside"][name] = found
                print(f"{name:60} {found}", flush=True)
    return results


def as_client(kind: str, url: str, path: str, seconds: str) -> None:
    """Be the client that `client` starts."""
    message = Path(path).read_bytes()
    if kind == "large":
        repeat(url, message, float(seconds))
        return
    latencies = asyncio.run(PATTERNS[kind](url, message, float(seconds)))
    print(json.dumps(summary(latencies, float(seconds))), flush=True)


def main() -> None:
    """Start the server, measure, print, and write what ``--out`` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--attempts", type=int, default=5, help="the calmest of so many counts")
    parser.add_argument("--only", default="", help="part of the name of a body")
    parser.add_argument("--beside", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prism-large-") as name:
        directory = Path(name)
        train(directory)
        with ServerProcess(directory / "data") as server:
            server.upload(directory / "table.onnx", "--name", "table")
            server.upload(directory / "table.onnx", "--name", "other")
            server.upload(directory / "image.onnx", "--name", "image")
            results = measure(server, arguments, directory)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in ("large", *PATTERNS):
        as_client(*sys.argv[1:])
    else:
        main()
