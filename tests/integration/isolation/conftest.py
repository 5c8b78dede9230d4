"""Real processes that run toy runtimes."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.protocols import Launcher, ReplicaHandle, ReplicaSpec
from prism_core.testing.isolation import say_hello

TOYS = Path(__file__).parent / "toys"


class Scene:
    """One launcher and what a test wants of it."""

    def __init__(self, launcher: Launcher, directory: Path, sockets: ExitStack) -> None:
        self.launcher = launcher
        self.directory = directory
        self.handles: list[ReplicaHandle] = []
        self._sockets = sockets

    def spec(self, replica: str = "toy-1-0", **changes: Any) -> ReplicaSpec:
        directory = self.directory / replica
        facts = {"plugins": (), "warm": (), "environment": "toy", "python": sys.executable} | changes
        return ReplicaSpec(replica, self.directory, self.directory, directory, **facts)

    def listen(self) -> socket.socket:
        listener = self._sockets.enter_context(socket.socket(socket.AF_UNIX))
        directory = self._sockets.enter_context(tempfile.TemporaryDirectory(prefix="prism-test-"))
        listener.bind(f"{directory}/s")
        listener.listen()
        return listener

    async def start(self, replica: str = "toy-1-0", **changes: Any) -> ReplicaHandle:
        handle = await self.launcher.start(self.spec(replica, **changes), self.listen())
        self.handles.append(handle)
        return handle

    async def end(self) -> None:
        await asyncio.gather(*(self.launcher.stop(handle, 0) for handle in self.handles))

    async def tell(self, handle: ReplicaHandle) -> list[str]:
        """Return the warnings with which a toy replica greets."""
        async with asyncio.timeout(30):
            return (await say_hello(handle.address)).warnings

    async def ask(self, handle: ReplicaHandle) -> dict[str, Any]:
        """Return the facts that a toy replica tells; its parent as it is numbered here."""
        facts = json.loads((await self.tell(handle))[0])
        return facts | {"parent": psutil.Process(handle.pid).ppid()}

    async def ended(self, handle: ReplicaHandle) -> int:
        async with asyncio.timeout(30):
            return await self.launcher.wait(handle)

    async def log(self, replica: str = "toy-1-0") -> list[str]:
        return [line async for line in self.launcher.logs(self.directory / replica, 100, follow=False)]


@pytest.fixture(autouse=True, scope="module")
def toys() -> Iterator[Path]:
    """The directory of the toys, importable in replicas."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TOYS))
        yield TOYS


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(toys):
    """Return launchers that all tests of a module share, forking or spawning."""
    async with AsyncExitStack() as stack:
        opened: dict[bool, Launcher] = {}

        async def get(zygote: bool) -> Launcher:
            if zygote not in opened:
                opened[zygote] = await stack.enter_async_context(open_toys(zygote=zygote))
            return opened[zygote]

        yield get


@pytest_asyncio.fixture(loop_scope="module")
async def make_scene(tmp_path):
    """Open launchers of a test's own, and close them after it."""
    async with AsyncExitStack() as stack:
        sockets = stack.enter_context(ExitStack())

        async def make(entry: str = "run", **config: Any) -> Scene:
            return Scene(await stack.enter_async_context(open_toys(entry, **config)), tmp_path, sockets)

        yield make


@pytest_asyncio.fixture(loop_scope="module")
async def scene(make_scene) -> Scene:
    """A launcher of the test's own."""
    return await make_scene()


def open_toys(entry: str = "run", **config: Any):
    return open_processes(ProcessConfig(**config), entry=f"toy_runtime:{entry}")


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
