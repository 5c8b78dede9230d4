"""Where scenes play: a directory with the plugin of faulty models, and real servers on it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from prism_core.cli.artifacts import Source
from prism_core.cli.client import Address, AdminClient
from prism_core.cli.progress import Progress
from prism_core.cli.sending import send
from prism_core.testing.server import ServerProcess

HERE = Path(__file__).parent


class Server(ServerProcess):
    """A server, and the admin API without a command line in between."""

    def admin(self) -> AdminClient:
        """Return a client, to be closed."""
        return AdminClient(Address(self.facts["admin"], (self.data_dir / "admin-token").read_text().strip()))

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request to the admin API."""
        client = self.admin()
        try:
            return client.call(method, path, **options)
        finally:
            client.close()

    def send(self, path: Path, **request: Any) -> str:
        """Upload an artifact; return the URL that predicts."""
        client = self.admin()
        try:
            return str(send(client, Source.of(path), request, Progress())["url"])
        finally:
            client.close()

    def model(self, name: str) -> dict[str, Any]:
        """Return what the server says about a model."""
        found: dict[str, Any] = self.call("GET", f"/models/{name}")
        return found

    def version(self, name: str, number: int = 1) -> dict[str, Any]:
        """Return what the server says about a version."""
        found: dict[str, Any] = self.call("GET", f"/models/{name}/versions/{number}")
        return found

    def pids(self, name: str, number: int = 1) -> list[int]:
        """Return the processes of a version's replicas that serve."""
        return [one["pid"] for one in self.version(name, number)["replicas"] if one["state"] == "READY"]

    def zygotes(self) -> list[psutil.Process]:
        """Return the warm processes."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "prism_core.isolation.zygote" in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process, [] of one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie is one
        return []


class Stage:
    """A directory for scenes. Made by `open_stage`."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self._common: Server | None = None
        self._servers = 0

    @contextmanager
    def serving(
        self, *flags: str, config: str = "", data: Path | None = None, prefix: Sequence[str] = ()
    ) -> Iterator[Server]:
        """Run a server of the scene's own; ``prefix`` are words in front of its command."""
        self._servers += 1
        place = data or self.directory / f"server-{self._servers}" / "data"
        place.parent.mkdir(exist_ok=True)
        server = Server(place, "--plugins", "faulty,sklearn", *flags, config=config)
        server.prefix = list(prefix)
        with server:
            yield server

    def common(self) -> Server:
        """Return a server that several scenes share."""
        if self._common is None:
            self._common = self._stack.enter_context(self.serving())
        return self._common

    def faulty(self, name: str, **told: Any) -> Path:
        """Return a model that does what it is told; see `prism_faulty.Told`."""
        path = self.directory / f"{name}.faulty"
        path.write_text(json.dumps(told))
        return path

    def line(self, name: str, factor: float) -> Path:
        """Return a linear regression of scikit-learn that multiplies by ``factor``."""
        import joblib
        import numpy as np
        from sklearn.linear_model import LinearRegression

        x = np.arange(4.0).reshape(-1, 1)
        path = self.directory / f"{name}.pkl"
        joblib.dump(LinearRegression().fit(x, x[:, 0] * factor), path)
        return path


@contextmanager
def open_stage(directory: Path) -> Iterator[Stage]:
    """Prepare ``directory``; servers that are started meanwhile find the plugin."""
    site = directory / "site"
    info = site / "prism_faulty-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "prism_faulty.py", site)
    shutil.copy(HERE / "wall_clock.py", site / "sitecustomize.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nfaulty = prism_faulty\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(site)
    try:
        with ExitStack() as stack:
            yield Stage(directory, stack)
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


async def until(holds, seconds: float = 20.0) -> float:
    """Wait for what has no event here; return how many seconds that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not await asyncio.to_thread(holds):
        assert loop.time() < begun + seconds, "it did not come to pass in time"
        await asyncio.sleep(0.01)
    return loop.time() - begun
