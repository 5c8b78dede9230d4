"""What images cost: a base of this interpreter, environments on it, the disk, and an import inside.

    .venv/bin/python bench/images.py

Makes images in a store of its own on the disk, with a service of Podman of its own. The second environment
lacks one small package of the first; *uncompiled* is an image with the same files, without the compiled ones
beside them. Takes about half a minute.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import attrs

from prism_core.environments.closure import closure
from prism_core.environments.wheels import installed, repack
from prism_core.plugin import Environment
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine, open_engine
from prism_podman.host.making import from_host
from prism_podman.images import ensuring, store
from prism_podman.images.containerfile import contents
from prism_podman.images.context import write_context
from prism_podman.images.ensuring import images_of, owner_of
from prism_podman.service import answers, command, environment

IMPORTS = 5
CONFIG = PodmanConfig(namespace="bench")
PROGRAM = "import time; t = time.perf_counter(); import sklearn.linear_model; print(time.perf_counter() - t)"
Result = TypeVar("Result")


@contextmanager
def podman(root: Path) -> Iterator[str]:
    """Run a service whose images lie in ``root``; it makes no use of those that are here."""
    url, words = f"unix://{root}/s", command(f"unix://{root}/s")
    after = 1 + next(number for number, word in enumerate(words) if word.endswith("podman"))
    own = ["--root", f"{root}/images", "--runroot", f"{root}/run", "--storage-driver", "overlay"]
    whole = [*words[:after], *own, *words[after:]]
    with subprocess.Popen(whole, cwd="/", env=environment(os.environ), stderr=subprocess.DEVNULL) as process:
        while not answers(url):
            time.sleep(0.01)
        try:
            yield url
        finally:
            process.kill()
    subprocess.run(["umount", f"{root}/images/overlay"], capture_output=True)
    shutil.rmtree(root)


async def timed(work: Awaitable[Result]) -> tuple[Result, float]:
    begun = time.perf_counter()
    return await work, time.perf_counter() - begun


def used_mb(root: Path) -> float:
    said = subprocess.run(["du", "-sm", f"{root}/images/overlay"], capture_output=True, text=True)
    return float(said.stdout.split()[0])


async def import_ms(engine: Engine, image: str) -> float:
    """Return the median time of an import in a container that can write nothing."""

    def once(client) -> float:
        container = client.containers.create(
            image,
            ["-c", PROGRAM],
            entrypoint=["python3"],
            network_mode="none",
            read_only=True,
            log_config={"Type": "json-file"},
            ulimits=[
                {"Name": "nofile", "Soft": 1024, "Hard": 1024},
                {"Name": "nproc", "Soft": 64, "Hard": 64},
            ],
        )
        try:
            container.start()
            container.wait(condition=["stopped", "exited"], interval="20ms")
            return float(b"".join(container.logs()))
        finally:
            container.remove(force=True)

    return 1e3 * statistics.median([await engine.call(once) for _ in range(IMPORTS)])


async def scene(root: Path, own: Environment, other: Environment) -> dict[str, float]:
    found: dict[str, float] = {}
    with podman(root) as url:
        async with open_engine(attrs.evolve(CONFIG, socket=url)) as engine:
            owner = owner_of(engine.facts)
            making = engine.call(
                lambda client: from_host(client, Path(sys.executable), owner, lambda _: None)
            )
            base, found["base, s"] = await timed(making)
            found["base, MB"] = base.size_bytes / 1e6
            images = images_of(engine, CONFIG)
            first, found["first environment, s"] = await timed(images.ensure(own))
            found["first environment, MB with its base"] = used_mb(root)
            _, found["the same again, s"] = await timed(images.ensure(own))
            others = images_of(engine, attrs.evolve(CONFIG, namespace="other"))
            _, found["the same of another server, s"] = await timed(others.ensure(own))
            _, found["second environment, s"] = await timed(images.ensure(other))
            found["both environments, MB with their base"] = used_mb(root)
            found["import of scikit-learn, ms"] = await import_ms(engine, first.tag)
            building = asyncio.to_thread(built, url, own, root / "context")
            _, found["first environment by its Containerfile, s"] = await timed(building)
            plain = await uncompiled(images, own)
            found["import of scikit-learn, uncompiled, ms"] = await import_ms(engine, plain)
    return found


def built(url: str, own: Environment, directory: Path) -> None:
    """Build the image of an environment as Podman builds a Containerfile."""
    minor = ".".join(own.python_version.split(".")[:2])
    write_context(own, f"localhost/prism-base:{minor}", directory, lambda _: None)
    build = ["podman", "--remote", "--url", url, "build", "--network=none", "-q", "-t", "localhost/built:1"]
    subprocess.run([*build, str(directory)], cwd="/", check=True, capture_output=True)


async def uncompiled(images: ensuring.Images, own: Environment) -> str:
    """Make the image of an environment without compiled files."""
    kept = ensuring.contents, store.known_layers
    ensuring.contents = lambda layer: [dataclasses.replace(one, shown="") for one in contents(layer)]
    store.known_layers = lambda client: {}
    try:
        return (await images.ensure(attrs.evolve(own, key="uncompiled"))).tag
    finally:
        ensuring.contents, store.known_layers = kept


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-images-", dir="/var/tmp") as directory:
        wheels = {n: str(repack(installed(n), Path(directory)).path) for n in ("prism-core", "prism-sklearn")}
        pins = closure(dict.fromkeys(wheels, ""), wheels)
        own = Environment("first", sys.executable, platform.python_version(), pins)
        fewer = tuple(pin for pin in pins if pin.name != "orjson")
        other = attrs.evolve(own, key="second", pins=fewer)
        found = asyncio.run(scene(Path(directory, "store"), own, other))
    for name, value in found.items():
        print(f"{name:45}{value:10.2f}")


if __name__ == "__main__":
    main()
