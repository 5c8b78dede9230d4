"""Servers of the suite, the models on them, and the plugin that all of them load."""

from __future__ import annotations

import csv
import hashlib
import shutil
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import psutil

from prism_core.cli.artifacts import Source
from prism_core.cli.client import Address, AdminClient
from prism_core.cli.progress import Progress
from prism_core.cli.sending import send
from prism_core.testing.server import ServerProcess
from tests.integration.backends.prism_told import NOTHING

PLUGIN = Path(__file__).with_name("prism_told.py")
FRESH = {"cache-control": "no-store"}
Found = TypeVar("Found")


class Server(ServerProcess):
    """A server, and what a test asks its admin API without a command line in between."""

    @contextmanager
    def admin(self) -> Iterator[AdminClient]:
        """Open a client."""
        token = (self.data_dir / "admin-token").read_text().strip()
        client = AdminClient(Address(self.facts["admin"], token))
        try:
            yield client
        finally:
            client.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request to the admin API."""
        with self.admin() as client:
            return client.call(method, path, **options)

    def send(self, path: Path, name: str, **request: Any) -> Model:
        """Upload an artifact."""
        with self.admin() as client:
            send(client, Source.of(path), {"name": name, **request}, Progress())
        return Model(self, name)


def install(site: Path) -> None:
    """Put the plugin into a directory as an installer would: with a record of its files."""
    info = site / "prism_told-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(PLUGIN, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-told\nVersion: 1.0\n")
    (info / "WHEEL").write_text(
        "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    (info / "entry_points.txt").write_text("[prism]\ntold = prism_told\n")
    files = [site / PLUGIN.name, *sorted(info.iterdir())]
    with (info / "RECORD").open("w", newline="") as record:
        rows = csv.writer(record, lineterminator="\n")
        rows.writerows(recorded(path, site) for path in files)
        rows.writerow((f"{info.name}/RECORD", "", ""))


def recorded(path: Path, site: Path) -> tuple[str, str, int]:
    """Return a file's line in RECORD."""
    data = path.read_bytes()
    digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return path.relative_to(site).as_posix(), f"sha256={digest}", len(data)


@attrs.frozen
class Model:
    """A model of the suite on a server."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """Where it predicts."""
        return f"{self.server.url}/model/{self.name}/predict"

    def ask(self, *rows: tuple[float, int, float]) -> httpx.Response:
        """Predict rows."""
        return httpx.post(self.url, json={"input": rows}, headers=FRESH, timeout=60)

    def do(self, deed: int, amount: float = 0.0) -> httpx.Response:
        """Have one deed done for the number 1."""
        return self.ask((1.0, deed, amount))

    @property
    def factor(self) -> float | None:
        """What it multiplies by, None where it does not answer."""
        response = self.do(NOTHING)
        return float(response.json()["predictions"][0]) if response.status_code == 200 else None

    def version(self, number: int = 1) -> dict[str, Any]:
        """Return what the server says of a version."""
        found: dict[str, Any] = self.server.call("GET", f"/models/{self.name}/versions/{number}")
        return found

    def replicas(self, number: int = 1) -> list[dict[str, Any]]:
        """Return the replicas of a version that serve."""
        return [one for one in self.version(number)["replicas"] if one["state"] == "READY"]

    def pids(self) -> list[int]:
        """Return the processes of these."""
        return [one["pid"] for one in self.replicas()]

    def processes(self) -> list[psutil.Process]:
        """Return them, and what they started."""
        first = [psutil.Process(pid) for pid in self.pids()]
        return [*first, *(child for one in first for child in one.children(recursive=True))]

    def logs(self) -> str:
        """Return what ``prism logs`` prints."""
        return self.server.run("logs", self.name).stdout


def until(holds: Callable[[], Found], seconds: float = 30.0) -> Found:
    """Wait for what other processes bring about."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)
    return found


def are_gone(processes: list[psutil.Process], seconds: float = 10.0) -> bool:
    """Wait until processes have ended; tell whether they have."""
    psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
