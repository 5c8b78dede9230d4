"""Real containers of small models, on a base image that is made of this interpreter."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import msgspec
import pytest

from prism_core.environments.closure import closure
from prism_core.environments.wheels import installed, repack
from prism_core.manifest import Manifest
from prism_core.plugin import Environment, Launcher, ReplicaHandle, ReplicaSpec
from prism_core.probe import LOADER, REFERENCE, Facts
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine, open_engine
from prism_podman.host.making import from_host
from prism_podman.images import bases
from prism_podman.images.ensuring import Images, images_of, owner_of
from prism_podman.launcher import open_podman
from prism_podman.service import answers, command, environment

NOWHERE = Facts(
    port=1, abstract="", secrets=(), variable="", pid=0, marker="", processors=1, memory_mb=0, threads=0
)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory, podman) -> Path:
    """The environment of the tests, as a file; there is a base image for it."""
    directory = tmp_path_factory.mktemp("environment")
    wheel = repack(installed("prism-core"), directory)
    pins = closure({"prism-core": ""}, {"prism-core": str(wheel.path)})
    own = Environment("server", sys.executable, platform.python_version(), pins)
    (directory / "server.json").write_bytes(own.to_json())
    asyncio.run(_with_base(podman, own))
    return directory / "server.json"


def images(engine: Engine, config: PodmanConfig) -> Images:
    """Open the images, which are the same for all namespaces of the tests."""
    return images_of(engine, attrs.evolve(config, namespace="tests"))


async def _with_base(url: str, environment: Environment) -> None:
    async with open_engine(PodmanConfig(socket=url)) as engine:
        owner, version = owner_of(engine.facts), environment.python_version
        if not await engine.call(lambda client: bases.present(client, "", version, owner)):
            python = Path(environment.python)
            await engine.call(lambda client: from_host(client, python, owner, lambda _: None))


@pytest.fixture
def nowhere() -> Facts:
    """Return what a probe is told that has nothing around it to try."""
    return NOWHERE


@pytest.fixture
def spec_of(recipe):
    """Return the spec of a replica with the probe, below a directory."""

    def make(directory: Path, replica: str, facts: Facts = NOWHERE, **changes) -> ReplicaSpec:
        directory.mkdir(parents=True)
        artifact, manifest = directory / "model.probe", directory / "manifest.json"
        artifact.write_bytes(msgspec.json.encode(facts))
        model, version, _ = replica.rsplit("-", 2)
        manifest.write_bytes(
            Manifest(
                *(model, int(version), LOADER, LOADER, artifact.name, "sha256:0", 1, 0.0),
                deterministic=False,
                row_independent=False,
            ).to_json()
        )
        own = ReplicaSpec(
            *(replica, manifest, artifact, directory, (REFERENCE,), (), "server", sys.executable),
            recipe=recipe,
        )
        return attrs.evolve(own, **changes)

    return make


@pytest.fixture(scope="session")
def podman() -> Iterator[str]:
    """Return the URL of a service that all tests share; starting one takes a second."""
    with tempfile.TemporaryDirectory(prefix="prism-test-") as directory:
        url = f"unix://{directory}/s"
        with subprocess.Popen(command(url), cwd="/", env=environment(os.environ)) as process:
            while not answers(url):
                assert process.poll() is None
                time.sleep(0.01)
            yield url
            process.terminate()


@pytest.fixture
def open_launcher(podman):
    """Open launchers whose containers are this test's."""
    namespace = f"test-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def open_one(**config) -> AsyncIterator[Launcher]:
        config = PodmanConfig(**{"namespace": namespace, "socket": podman, **config})
        async with open_podman(config, images) as launcher:
            yield launcher

    return open_one


@attrs.define
class Scene:
    """An open launcher, and what a test wants of it."""

    launcher: Launcher
    directory: Path
    spec_of: object

    async def start(self, replica: str = "churn-1-0", **changes) -> tuple[ReplicaHandle, ReplicaSpec]:
        spec = self.spec_of(self.directory / replica, replica, **changes)
        return await self.launcher.start(spec, None), spec


@pytest.fixture
def scene_of(tmp_path, spec_of):
    """Return the scene of a launcher."""
    return lambda launcher: Scene(launcher, tmp_path, spec_of)
