"""Start replicas as containers, hear of their end, and end them; the backend ``podman``."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from prism_core.plugin import (
    ConfigError,
    Environment,
    Launcher,
    LaunchFailed,
    ReplicaHandle,
    ReplicaSpec,
    Usage,
)
from prism_podman import containers, creating, logs, processes
from prism_podman.blocks import Blocks
from prism_podman.cgroups import group_of
from prism_podman.config import PodmanConfig
from prism_podman.containers import Made
from prism_podman.creating import Wanted, arguments
from prism_podman.engine import Engine, open_engine
from prism_podman.facts import Facts
from prism_podman.layout import Layout
from prism_podman.orphans import remove_orphans
from prism_podman.private import private_directory
from prism_podman.replica import Container
from prism_podman.watching import look_after

NAME = "podman"
# How often it is looked whether a container's address can be connected to.
LOOK_S = 0.01
# How many ended replicas are remembered, for whoever polls late.
REMEMBERED = 1000
LAST_LINES = 12
UNKNOWN_EXIT = -1


class Image(Protocol):
    """An image of an environment."""

    @property
    def tag(self) -> str:
        """What Podman knows it by."""

    @property
    def python(self) -> str:
        """The interpreter in it."""


class Images(Protocol):
    """Where images come from."""

    async def ensure(self, environment: Environment, tell: Callable[[str], None] = ...) -> Image:
        """Return the image of an environment, made now if there is none; ``tell`` hears how far it is."""


log = logging.getLogger("prism.podman")


class _Version(msgspec.Struct):
    """What is needed of a manifest."""

    model: str
    version: int


@asynccontextmanager
async def open_podman(
    config: PodmanConfig, images: Callable[[Engine, PodmanConfig], Images]
) -> AsyncIterator[Launcher]:
    """Open the launcher; when it is closed, no container that it started is left.

    Containers that an earlier server of the same ``namespace`` has left are removed first.
    ``images`` opens what makes images where there is none yet.
    """
    async with open_engine(config) as engine:
        check_address(config, engine.facts)
        await remove_orphans(engine, config.namespace)
        if engine.facts.unbounded:
            log.warning("Podman: replicas are in a %s; `prism podman doctor` says why.", engine.facts.level)
        with private_directory() as directory:
            launcher = PodmanLauncher(engine, config, images(engine, config), directory)
            looking = asyncio.create_task(look_after(launcher.running, launcher.kill))
            try:
                yield launcher
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
                await launcher.close()


def check_address(config: PodmanConfig, facts: Facts) -> None:
    """Raise ConfigError where replicas could not be reached."""
    if facts.remote and config.address == "unix":
        raise ConfigError(
            "This Podman is on another machine, or in a virtual one: its sockets cannot be reached.",
            hint="Set plugins.podman.address to tcp; a model has a network then.",
        )


class PodmanLauncher:
    """Starts replicas as containers; implements `Launcher`, `Explains` and `Prepares`."""

    def __init__(self, engine: Engine, config: PodmanConfig, images: Images, directory: Path) -> None:
        self.engine = engine
        self._images = images
        self._config = config
        self._directory = directory
        self._containers: dict[ReplicaHandle, Container] = {}
        self._blocks = Blocks(engine, config.namespace)
        self._making: set[asyncio.Task[Made]] = set()

    # --- the launcher's verbs --------------------------------------------------------

    async def start(self, spec: ReplicaSpec, listener: socket.socket | None) -> ReplicaHandle:
        """Start a replica; it makes its own address, which can be connected to when this returns."""
        try:
            wanted = await self._wanted(spec, await self._image(spec))
        except OSError as error:
            raise LaunchFailed(f"What {spec.replica!r} needs cannot be read: {error}.") from error
        try:
            async with asyncio.timeout(self._config.launch_s):
                await asyncio.to_thread(wanted.layout.make, self.engine.facts.level)
                container = await self._made(wanted)
                await self._until_connectable(container)
                return container.handle
        except TimeoutError as error:
            await asyncio.shield(self._discard(wanted))
            raise LaunchFailed(
                f"The container of {spec.replica!r} took longer than {self._config.launch_s:g} s to start.",
                hint="plugins.podman.launch_s allows it more time.",
                details={"log": await self._last_lines(wanted)},
            ) from error
        except BaseException:
            await asyncio.shield(self._discard(wanted))
            raise

    async def prepare(self, recipe: Path | None, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Make the image of an environment, where it is not there."""
        if recipe is not None:
            environment = await _environment(recipe)
            await self._images.ensure(environment, lambda text: tell({"phase": "image", "text": text}))

    async def poll(self, handle: ReplicaHandle) -> int | None:
        """Return None while it runs, else its exit code; -1 for one of a gateway that is gone."""
        container = self._containers.get(handle)
        if container is None:
            return UNKNOWN_EXIT
        return container.exited.result().code if container.exited.done() else None

    async def wait(self, handle: ReplicaHandle) -> int:
        """Return the exit code as soon as it has ended."""
        container = self._containers.get(handle)
        return (await asyncio.shield(container.exited)).code if container else UNKNOWN_EXIT

    def reason(self, handle: ReplicaHandle) -> str:
        """Return why it ended, where that is more than its exit code."""
        container = self._containers.get(handle)
        return container.exited.result().reason if container and container.exited.done() else ""

    async def stop(self, handle: ReplicaHandle, grace_s: float) -> None:
        """Ask it to drain, kill it after ``grace_s``."""
        container = self._containers.get(handle)
        if container is None or container.exited.done():
            return
        container.told = True
        if grace_s:
            await self._signal(container, "SIGTERM")
            await asyncio.wait({container.exited}, timeout=grace_s)
        while not container.exited.done():
            await self._signal(container, "SIGKILL")
            await asyncio.wait({container.exited}, timeout=1.0)

    def logs(self, spec_directory: Path, tail: int, follow: bool) -> AsyncIterator[str]:
        """Yield the last ``tail`` lines of its log, and with ``follow`` those to come."""
        return logs.lines(spec_directory, tail, follow)

    async def usage(self, handle: ReplicaHandle) -> Usage | None:
        """Measure what its control group is charged, else what its processes hold."""
        container = self._containers.get(handle)
        return await container.usage() if container else None

    # --- starting --------------------------------------------------------------------

    async def _image(self, spec: ReplicaSpec) -> Image:
        if spec.recipe is None:
            raise LaunchFailed(f"{spec.replica!r} has no environment that an image could be made of.")
        return await self._images.ensure(await _environment(spec.recipe))

    async def _wanted(self, spec: ReplicaSpec, image: Image) -> Wanted:
        version = msgspec.json.decode(spec.manifest.read_bytes(), type=_Version)
        users = await self._blocks.ids(version.model)
        number = secrets.token_hex(6)
        unix = self._config.address == "unix"
        layout = Layout(self._directory / number if unix else spec.directory / "container", spec)
        labels = {
            creating.SERVER: self._config.namespace,
            creating.MODEL: version.model,
            creating.VERSION: str(version.version),
            creating.REPLICA: spec.replica,
            creating.BLOCK: str(users.block),
            creating.BASE: str(layout.base),
        }
        name = f"prism-{spec.replica}-{number}"
        return Wanted(name, image.tag, image.python, layout, users, labels, self._config.optimize_disk)

    async def _made(self, wanted: Wanted) -> Container:
        """Make and start the container; one that nobody waits for any more is removed when it is made."""
        keywords = arguments(wanted, self._config, self.engine.facts, os.environ)
        making = asyncio.create_task(
            self.engine.call(partial(containers.make, keywords={"image": wanted.image, **keywords}))
        )
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        made = await asyncio.shield(making)
        return self._remember(wanted, made)

    def _remember(self, wanted: Wanted, made: Made) -> Container:
        unix = self._config.address == "unix"
        address = f"unix:{wanted.layout.socket}" if unix else f"tcp:127.0.0.1:{made.port}"
        pid, began = _identity(made, remote=self.engine.facts.remote)
        handle = ReplicaHandle(wanted.spec.replica, NAME, pid, began, address)
        group = group_of(pid, made.id) if pid else None
        container = Container(made.id, handle, wanted, self.engine, group)
        ended = [handle for handle, one in self._containers.items() if one.gone.done()]
        for old in ended[:-REMEMBERED]:
            del self._containers[old]
        self._containers[handle] = container
        container.watch()
        return container

    async def _until_connectable(self, container: Container) -> None:
        if container.wanted.layout.converts:
            return  # nobody calls it
        while not container.connectable:
            if container.exited.done():
                ended = container.exited.result()
                name = container.handle.replica
                raise LaunchFailed(
                    f"The container of {name!r} ended with {ended.code} before it listened.",
                    hint=ended.reason or "Its last words are in details.log.",
                    details={"log": await self._last_lines(container.wanted)},
                )
            await asyncio.sleep(LOOK_S)

    async def _discard(self, wanted: Wanted) -> None:
        """Remove what a start has left that did not succeed."""
        await asyncio.gather(*self._making, return_exceptions=True)
        await self.engine.call(partial(containers.remove, container=wanted.name))
        await asyncio.to_thread(wanted.layout.remove)

    async def _last_lines(self, wanted: Wanted) -> list[str]:
        return [line async for line in logs.lines(wanted.layout.log.parent, LAST_LINES, False)]

    # --- ending ----------------------------------------------------------------------

    async def _signal(self, container: Container, name: str) -> None:
        await self.engine.call(partial(containers.signal, container=container.id, name=name))

    def running(self) -> list[Container]:
        """Return the containers that have not ended."""
        return [one for one in self._containers.values() if not one.exited.done()]

    async def kill(self, container: Container, reason: str) -> None:
        """End a container that takes more than it may."""
        log.warning("%s is ended: %s", container.handle.replica, reason)
        container.excess = reason
        await self._signal(container, "SIGKILL")

    async def close(self) -> None:
        """Kill what still runs, and leave nothing of it."""
        await asyncio.gather(*self._making, return_exceptions=True)
        await asyncio.gather(*(self.stop(one.handle, 0) for one in self.running()))
        await asyncio.gather(*(one.gone for one in self._containers.values()))


def _identity(made: Made, *, remote: bool) -> tuple[int, float]:
    """Return the pid and the start time of a container's process; pid 0 where it is not of this machine."""
    if made.pid and not remote:
        try:
            return made.pid, processes.started(made.pid)
        except OSError:
            pass
    return 0, time.time()


async def _environment(recipe: Path) -> Environment:
    return Environment.from_json(await asyncio.to_thread(recipe.read_bytes))
