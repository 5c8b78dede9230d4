"""The image of an environment: found by its name, or made of what is installed, once for all who wait."""

from __future__ import annotations

import asyncio
import fcntl
import os
import platform
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs

from prism_core.plugin import Environment, EnvironmentFailed
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.facts import Facts
from prism_podman.host.interpreter import minor_of
from prism_podman.ids import IMAGE_OWNER
from prism_podman.images import bases, foreign, oci, spooling, store
from prism_podman.images.bases import Base
from prism_podman.images.containerfile import (
    BASE,
    ENVIRONMENT,
    KIND,
    LAYERS,
    LIBC,
    PYTHON,
    PYTHON_VERSION,
    SERVER,
    VARIABLES,
    contents,
    file_of,
    tag_of,
)
from prism_podman.images.layers import Layer, layered
from prism_podman.images.oci import Blob
from prism_podman.images.selection import Package, selected
from prism_podman.images.store import Tell
from prism_podman.private import private_directory

Result = TypeVar("Result")


class Cancelled(Exception):
    """Whoever wanted it does so no more."""


def owner_of(facts: Facts) -> int:
    """Return to whom the files of images belong, so that a namespace of its own costs no copy of them.

    Root's Podman needs none; who has too few numbers for that one can have no such namespaces either.
    """
    return IMAGE_OWNER if facts.rootless and facts.numbers > IMAGE_OWNER else 0


def images_of(engine: Engine, config: PodmanConfig) -> Images:
    """Return the images of a server in the Podman that was connected with."""
    return Images(engine, config, owner_of(engine.facts))


def silent(_: str) -> None:
    """Tell nobody."""


@attrs.frozen
class Image:
    """The image of an environment.

    ``python`` is the interpreter in it. ``built`` tells whether it was made just now.
    """

    tag: str
    python: str
    base: str
    built: bool = False


@attrs.frozen(eq=False)
class Images:
    """The images of one server's environments, in one Podman.

    Parameters
    ----------
    owner
        To which user inside all files belong.
    """

    engine: Engine
    config: PodmanConfig
    owner: int = 0
    _bases: dict[str, Base] = attrs.field(factory=dict)
    _locks: dict[str, asyncio.Lock] = attrs.field(factory=lambda: defaultdict(asyncio.Lock))

    async def ensure(self, environment: Environment, tell: Tell = silent) -> Image:
        """Return the image of an environment; make it where it is not there.

        Raises
        ------
        EnvironmentFailed
            If there is no base for it, its packages cannot be read, or Podman refuses.
        """
        base = await self._base(environment, tell)
        tag = self._tag(environment, base)
        async with self._locks[tag]:
            if await self.engine.call(lambda client: store.exists(client, tag)):
                return Image(tag, base.python, base.name)
            base = await self._base(environment, tell, anew=True)  # it may be another one now, or none
            tag = self._tag(environment, base)
            await self._make(tag, environment, base, tell)
        return Image(tag, base.python, base.name, built=True)

    def _tag(self, environment: Environment, base: Base) -> str:
        return tag_of(environment, base.id, self.config.namespace, self.owner)

    async def _base(self, environment: Environment, tell: Tell, *, anew: bool = False) -> Base:
        minor = minor_of(environment.python_version)
        async with self._locks[minor]:
            if anew or minor not in self._bases:
                configured = self.config.base_image
                self._bases[minor] = await self._threaded(
                    lambda client, told: bases.find(client, configured, environment, self.owner, told), tell
                )
            return self._bases[minor]

    async def _make(self, tag: str, environment: Environment, base: Base, tell: Tell) -> None:
        labels = {
            KIND: "environment",
            SERVER: self.config.namespace,
            ENVIRONMENT: environment.key,
            BASE: base.id,
            PYTHON: base.python,
            PYTHON_VERSION: base.python_version,
            LIBC: base.libc,
        }
        plan = Plan(tag, environment, base, labels, self.owner)
        await self._threaded(lambda client, told: make(client, plan, told), tell)

    async def _threaded(self, function: Callable[[Any, Tell], Result], tell: Tell) -> Result:
        """Call a function in a thread, which tells here; given up here, it ends at its next word."""
        loop, gone = asyncio.get_running_loop(), threading.Event()

        def told(text: str) -> None:
            if gone.is_set():
                raise Cancelled
            loop.call_soon_threadsafe(tell, text)

        try:
            return await self.engine.work(lambda client: function(client, told))
        finally:
            gone.set()


@attrs.frozen
class Plan:
    """An image that is to be made."""

    tag: str
    environment: Environment
    base: Base
    labels: Mapping[str, str]
    owner: int

    @property
    def minor(self) -> str:
        """The Python that its files are compiled for."""
        return minor_of(self.environment.python_version)


def make(client: Any, plan: Plan, tell: Tell) -> None:
    """Make the image of an environment; where another process does so now, wait for it instead."""
    with building(plan.tag), private_directory(spooling.scratch_place()) as directory:
        if store.exists(client, plan.tag):
            return
        layers = layered(packages_of(plan, directory, tell))
        known = store.known_layers(client)
        try:
            hand_over(client, plan, layers, known, directory, tell)
        except EnvironmentFailed:
            if not known:
                raise
            # An image that had one of the layers may have been removed this moment.
            hand_over(client, plan, layers, {}, directory, tell)


def packages_of(plan: Plan, directory: Path, tell: Tell) -> list[Package]:
    """Return the packages of an environment as the base can run them."""
    if foreign.is_foreign(plan.base):
        tell("Fetching the packages for Linux")
        return selected(plan.environment, [str(foreign.installed(plan.environment, plan.base, directory))])
    packages = selected(plan.environment)
    bases.check_libc(plan.base, packages, "-".join(platform.libc_ver()))
    return packages


def hand_over(
    client: Any, plan: Plan, layers: Sequence[Layer], known: Mapping[str, str], directory: Path, tell: Tell
) -> None:
    """Give Podman an image; of layers that are ``known``, digest by key, the digest alone."""
    blobs = list(spooled(plan, layers, known, directory, tell))
    said = ",".join(f"{key}={blob.digest}" for key, blob in zip(_keys(plan, layers), blobs, strict=True))
    labels = {**plan.labels, LAYERS: said}
    config = oci.configuration(plan.base.beneath, blobs, VARIABLES, labels, store.now())
    tell(f"Handing {sum(blob.size_bytes for blob in blobs) / 1e6:.0f} MB over to Podman")
    with spooling.packed(oci.archive(plan.tag, plan.base.beneath, blobs, config)) as parts:
        store.load(client, parts, plan.tag)


def _keys(plan: Plan, layers: Sequence[Layer]) -> list[str]:
    return [layer.key(plan.minor, plan.owner) for layer in layers]


def spooled(
    plan: Plan, layers: Sequence[Layer], known: Mapping[str, str], directory: Path, tell: Tell
) -> Iterator[Blob]:
    """Write the tars of layers below ``directory``, but for those that are known."""
    for number, (layer, key) in enumerate(zip(layers, _keys(plan, layers), strict=True), 1):
        if key in known:
            yield Blob(layer.title, known[key])
            continue
        tell(f"Packing {layer.title} ({number} of {len(layers)})")
        path = directory / file_of(number)
        yield spooling.spooled(layer.title, contents(layer), plan.environment.python, plan.owner, path)


@contextmanager
def building(tag: str) -> Iterator[None]:
    """Be the only process of this user that makes the image ``tag``."""
    directory = Path(tempfile.gettempdir(), f"prism-podman-{os.getuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise EnvironmentFailed(f"{directory} belongs to another user.", hint="Remove it, or set TMPDIR.")
    with (directory / f"{tag.rpartition(':')[2]}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
