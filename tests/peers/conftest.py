"""A server for other people's clients: models that answer what they are asked, one of each datatype."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest

from prism_core.testing.server import ServerProcess
from prism_core.types import NUMPY_TYPES

HERE = Path(__file__).parent
GRPC = ("--grpc-port", "0")


@attrs.frozen
class Served:
    """A server, as clients are told of it."""

    process: ServerProcess

    def url(self, way: str) -> str:
        """Return where to ask by ``way``, as Triton's clients want it: without a scheme."""
        return self.process.facts["grpc" if way.startswith("grpc") else "public"].partition("://")[2]

    @property
    def admin(self) -> str:
        """Where the owner asks over HTTP."""
        return self.process.facts["admin"].partition("://")[2]

    @property
    def token(self) -> dict[str, str]:
        """The header of the owner."""
        return {"authorization": f"Bearer {(self.process.data_dir / 'admin-token').read_text()}"}


def until_ready(server: ServerProcess) -> None:
    """Wait until the models of its configuration answer."""
    for _ in range(600):
        if httpx.get(f"{server.url}/v2/health/ready", verify=False).status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError(server.log.read_text())


def installed(site: Path) -> Path:
    """Install the plugin with the models for a server that has ``site`` on its path."""
    info = site / "prism_echo-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "prism_echo.py", site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\necho = prism_echo\n")
    return site


@pytest.fixture(scope="session")
def echoes(tmp_path_factory) -> Iterator[Served]:
    """A server with a model of each datatype, called as that in small letters, and ``slow``, which sleeps."""
    directory = tmp_path_factory.mktemp("echoes")
    models = {datatype.lower(): {"datatype": datatype} for datatype in NUMPY_TYPES}
    models["slow"] = {"datatype": "FP64", "sleeps": True}
    lines = ["models:"]
    for name, made in models.items():
        (directory / f"{name}.echo").write_text(json.dumps(made))
        lines.append(f"  {name}: {{path: {directory}/{name}.echo}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed(directory / "site")))
        with ServerProcess(directory / "data", *GRPC, config="\n".join(lines)) as server:
            until_ready(server)
            yield Served(server)
