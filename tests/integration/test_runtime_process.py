"""`python -m prism_core.runtime` as a process of its own, at a TCP address with a token."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import joblib
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.errors import ModelLoadFailed, ReplicaLost, Unauthorized
from prism_core.gateway.client import connect
from prism_core.gateway.lane import Head
from prism_core.manifest import Manifest
from prism_core.protocols import ReplicaSpec


class Runtime:
    """One runtime process on loopback."""

    def __init__(self, directory: Path, artifact: Path) -> None:
        manifest = Manifest("line", 1, "sklearn", "sklearn", artifact.name, "sha256:0", 1, 0.0)
        (directory / "manifest.json").write_bytes(manifest.to_json())
        spec = ReplicaSpec(
            replica="line-1-0",
            manifest=directory / "manifest.json",
            artifact=artifact,
            directory=directory,
            plugins=("sklearn=prism_sklearn",),
            warm=(),
            environment="server",
            python=sys.executable,
            token="secret",
        )
        (directory / "spec.json").write_bytes(spec.to_json())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "prism_core.runtime", str(directory / "spec.json")]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--listen", f"tcp:127.0.0.1:{self.port}"], stderr=log, stdout=log
            )

    async def connect(self, token: str):
        while True:
            try:
                address = f"tcp:127.0.0.1:{self.port}"
                return await connect(address, token=token, timeout_s=60, on_lost=lambda _: None)
            except ReplicaLost:  # it has not bound its port yet
                assert self.process.poll() is None
                await asyncio.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    started: list[Runtime] = []

    def make(artifact: Path) -> Runtime:
        started.append(Runtime(tmp_path, artifact))
        return started[-1]

    yield make
    for runtime in started:
        runtime.process.kill()
        runtime.process.wait(10)


async def test_a_runtime_serves_frames_and_http_to_who_has_the_token(start, tmp_path):
    joblib.dump(LinearRegression().fit([[0], [1]], [0, 2]), tmp_path / "line.pkl")
    runtime = start(tmp_path / "line.pkl")
    client = await runtime.connect("secret")
    answered = asyncio.Event()
    told = []
    client.ask(Head(), b'{"input": [[3]]}', 30.0, lambda *answer: (told.extend(answer), answered.set()))
    await answered.wait()
    assert json.loads(bytes(told[1]))["predictions"] == pytest.approx([6])

    with pytest.raises(Unauthorized):
        await runtime.connect("guess")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{runtime.port}") as http:
        assert (await http.get("/health")).status_code == 401
        http.headers["authorization"] = "Bearer secret"
        answer = await http.post("/predict", content=b'{"input": [[4]]}')
        assert answer.json()["predictions"] == pytest.approx([8])

    runtime.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(runtime.process.wait, 10) == 0
    await client.close()


async def test_a_runtime_that_cannot_load_says_why_and_ends(start, tmp_path):
    (tmp_path / "line.pkl").write_bytes(b"\x80\x04not a pickle")
    runtime = start(tmp_path / "line.pkl")

    with pytest.raises(ModelLoadFailed, match=r"line\.pkl"):
        await runtime.connect("secret")
    assert await asyncio.to_thread(runtime.process.wait, 15) == 1
