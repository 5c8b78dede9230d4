"""Real processes that run toy runtimes."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.protocols import Launcher, ReplicaHandle, ReplicaSpec
from prism_core.testing.isolation import say_hello

TOYS = Path(__file__).parent / "toys"


class Scene:
    """One launcher and what a test wants of it."""

    def __init__(self, launcher: Launcher, directory: Path, sockets: ExitStack) -> None:
        self.launcher = launcher
        self.directory = directory
        self._sockets = sockets

    def spec(self, replica: str = "toy-1-0", **changes: Any) -> ReplicaSpec:
        directory = self.directory / replica
        facts = {"warm": (), "environment": "toy", "python": sys.executable} | changes
        return ReplicaSpec(replica, self.directory, self.directory, directory, (), **facts)

    def listen(self) -> socket.socket:
        listener = self._sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{tempfile.mkdtemp(prefix='prism-')}/s")
        listener.listen()
        return listener

    async def start(self, replica: str = "toy-1-0", **changes: Any) -> ReplicaHandle:
        return await self.launcher.start(self.spec(replica, **changes), self.listen())

    async def tell(self, handle: ReplicaHandle) -> list[str]:
        """Return the warnings with which a toy replica greets."""
        async with asyncio.timeout(30):
            return (await say_hello(handle.address)).warnings

    async def ask(self, handle: ReplicaHandle) -> dict[str, Any]:
        """Return the facts that a toy replica tells."""
        return json.loads((await self.tell(handle))[0])

    async def ended(self, handle: ReplicaHandle) -> int:
        async with asyncio.timeout(30):
            return await self.launcher.wait(handle)

    async def log(self, replica: str = "toy-1-0") -> list[str]:
        return [line async for line in self.launcher.logs(self.directory / replica, 100, follow=False)]


@pytest.fixture(autouse=True)
def toys(monkeypatch) -> Path:
    """The directory of the toys, importable in replicas."""
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    return TOYS


@pytest.fixture
async def make_scene(tmp_path):
    """Open launchers with an entry of `toy_runtime`, and close them after the test."""
    async with AsyncExitStack() as stack:
        sockets = stack.enter_context(ExitStack())

        async def make(entry: str = "run", **config: Any) -> Scene:
            opened = open_processes(ProcessConfig(**config), entry=f"toy_runtime:{entry}")
            return Scene(await stack.enter_async_context(opened), tmp_path, sockets)

        yield make


@pytest.fixture
async def scene(make_scene) -> Scene:
    """A launcher whose replicas greet."""
    return await make_scene()


@pytest.fixture
def gone() -> Callable[[int, float], bool]:
    """Wait until a process that may not be a child has ended; False after the time-out."""

    def wait(pid: int, timeout_s: float) -> bool:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([pidfd], [], [], timeout_s)[0])
        finally:
            os.close(pidfd)

    return wait
