"""What a server under test is, and its life; `bench.ours` and `bench.peers` say which there are.

A server is started for one model, answers at one URL, and ends with the block:

    with serving(server, models, "logistic") as running:
        running.url ...
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx

from bench import processes

HERE = Path(__file__).parent
FILES = {
    "logistic": "logistic.pkl",
    "forest": "forest.pkl",
    "forest-onnx": "forest.onnx",
    "mlp": "mlp.onnx",
}
# For all: one thread for numeric libraries, as a replica of PRISM has; `predictor` on the path.
SHARED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(HERE / "shared")}
READY_S = 60.0


class Unfit(Exception):
    """A server did not answer, or not what its model says, or with errors."""


@attrs.frozen
class Place:
    """Where a server runs: what its command may need to know."""

    models: Path
    model: str
    port: int
    data: Path

    @property
    def file(self) -> Path:
        """The model's file."""
        return self.models / FILES.get(self.model, f"{self.model}.onnx")


def plain_body(rows: list[list[float]]) -> str:
    """Return the body that PRISM, the ceilings and hand-written servers take."""
    return json.dumps({"input": rows})


def plain_labels(answer: Any) -> list[int]:
    """Return the labels of such a server's answer."""
    return [int(label) for label in answer["predictions"]]


@attrs.frozen
class Server:
    """One server under test.

    Attributes
    ----------
    command
        The command line for a place.
    environment
        Variables beside `SHARED`.
    body, labels
        Its protocol: rows to a request's body, the decoded answer to labels.
    fixed
        It answers without a model, so its answers are not compared.
    prepare
        What is to be done before it starts, and does not count as its start.
    peer, package
        The name of its environment, "" for ours, and of the package that is under test.
    no_store
        Ask with ``Cache-Control: no-store``, so that nothing is answered from a cache.
    models
        The models that it is measured with.
    """

    name: str
    command: Callable[[Place], Sequence[object]]
    path: str = "/predict"
    environment: Callable[[Place], dict[str, str]] = lambda place: {}
    body: Callable[[list[list[float]]], str] = plain_body
    labels: Callable[[Any], list[int]] = plain_labels
    fixed: bool = False
    prepare: Callable[[Place], None] | None = None
    peer: str = ""
    package: str = ""
    no_store: bool = True
    models: tuple[str, ...] = tuple(FILES)


@attrs.frozen
class Running:
    """A server that runs: its URL, its first process, its mark, seconds from start to first answer."""

    server: Server
    url: str
    root: int
    mark: str
    first_answer_s: float
    answer: list[int]

    def processes(self) -> dict[int, str]:
        """Return its processes as they are now, by part."""
        return processes.own(self.root, self.mark)


@contextlib.contextmanager
def serving(server: Server, models: Path, model: str, rows: list[list[float]]) -> Iterator[Running]:
    """Start the server, wait for its first answer, and stop all of it at the end."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as data:
        place = Place(models, model, free_port(), Path(data))
        if server.prepare:
            server.prepare(place)
        begun = time.monotonic()
        with started(server, place, mark) as root:
            url = f"http://127.0.0.1:{place.port}{server.path.format(model=model)}"
            answer = first_answer(url, server.body(rows), root)
            taken_s = time.monotonic() - begun
            yield Running(server, url, root.pid, mark, taken_s, server.labels(answer))


@contextlib.contextmanager
def started(server: Server, place: Place, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server's command until the block ends; its last words are shown if it fails."""
    environment = os.environ | SHARED | server.environment(place) | {processes.MARK: mark}
    command = [str(word) for word in server.command(place)]
    with (place.data / "log").open("wb") as log:
        root = subprocess.Popen(
            command, env=environment, cwd=place.data, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield root
        except BaseException:
            print((place.data / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
            raise
        finally:
            stop(root, mark)


def stop(root: subprocess.Popen[bytes], mark: str) -> None:
    """End the server's processes: politely first, then whatever is left of them."""
    left = processes.own(root.pid, mark)
    root.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        root.wait(8)
    for pid in left | processes.own(root.pid, mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    root.wait()


def first_answer(url: str, body: str, root: subprocess.Popen[bytes]) -> Any:
    """Ask until the server answers well; return the answer."""
    deadline = time.monotonic() + READY_S
    with httpx.Client(timeout=READY_S) as client:
        while time.monotonic() < deadline and root.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post(url, content=body, headers={"content-type": "application/json"})
                if answer.status_code == 200:
                    return answer.json()
            time.sleep(0.02)
    raise Unfit(f"no answer within {READY_S:g} s")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def uvicorn(
    app: str, folder: str, interpreter: Callable[[], object] = lambda: sys.executable
) -> Callable[[Place], Sequence[object]]:
    """Return the command of an application under uvicorn: httptools, uvloop, no access log."""
    best = ("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")
    return lambda place: (
        *(interpreter(), "-m", "uvicorn", app, "--app-dir", HERE / folder, "--port", place.port),
        *best,
    )


def model_variable(place: Place) -> dict[str, str]:
    """Name the model's file in the environment."""
    return {"MODEL": str(place.file)}
