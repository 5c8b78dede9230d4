"""The image of an environment: found by its name, or made of what is installed, once for all who wait."""

from __future__ import annotations

import asyncio
import fcntl
import os
import platform
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs

from prism_core.plugin import Environment, EnvironmentFailed
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.host.interpreter import minor_of
from prism_podman.images import bases, oci, store
from prism_podman.images.bases import Base
from prism_podman.images.containerfile import (
    BASE,
    ENVIRONMENT,
    KIND,
    LIBC,
    PYTHON,
    PYTHON_VERSION,
    SERVER,
    VARIABLES,
    contents,
    tag_of,
)
from prism_podman.images.layers import Layer, layered
from prism_podman.images.oci import Blob
from prism_podman.images.selection import SITE, selected
from prism_podman.images.store import Tell

Result = TypeVar("Result")


class Cancelled(Exception):
    """Whoever wanted it does so no more."""


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
                    lambda client, told: bases.find(client, configured, environment, told), tell
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
        await self._threaded(
            lambda client, told: make(client, tag, environment, base, labels, self.owner, told), tell
        )

    async def _threaded(self, function: Callable[[Any, Tell], Result], tell: Tell) -> Result:
        """Call a function in a thread, which tells here; given up here, it ends at its next word."""
        loop, gone = asyncio.get_running_loop(), threading.Event()

        def told(text: str) -> None:
            if gone.is_set():
                raise Cancelled
            loop.call_soon_threadsafe(tell, text)

        try:
            return await self.engine.call(lambda client: function(client, told))
        finally:
            gone.set()


def make(
    client: Any,
    tag: str,
    environment: Environment,
    base: Base,
    labels: dict[str, str],
    owner: int,
    tell: Tell,
) -> None:
    """Make the image of an environment; where another process does so now, wait for it instead."""
    with building(tag):
        if store.exists(client, tag):
            return
        packages = selected(environment)
        bases.check_libc(base, packages, "-".join(platform.libc_ver()))
        layers = layered(packages)
        with scratch() as directory:
            blobs = spooled(layers, environment.python, owner, directory, tell)
            put(client, tag, base, blobs, labels, tell)


def spooled(layers: Sequence[Layer], python: str, owner: int, directory: Path, tell: Tell) -> list[Blob]:
    """Write the tars of layers below ``directory``."""
    blobs = []
    for number, layer in enumerate(layers, 1):
        tell(f"Packing {layer.title} ({number} of {len(layers)})")
        entries = contents(layer, f"{SITE[1:]}/")
        blobs.append(store.spooled(layer.title, entries, python, owner, directory / f"{number:02}.tar"))
    return blobs


def put(client: Any, tag: str, base: Base, blobs: Sequence[Blob], labels: dict[str, str], tell: Tell) -> None:
    """Hand an image over to Podman: what it has already is not sent again."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    config = oci.configuration(base.beneath, blobs, VARIABLES, labels, created)
    known = store.known_layers(client)
    try:
        _send(client, tag, base, blobs, config, known, tell)
    except EnvironmentFailed:
        if not known:
            raise
        # An image that had one of them may have been removed this moment.
        _send(client, tag, base, blobs, config, frozenset(), tell)


def _send(
    client: Any,
    tag: str,
    base: Base,
    blobs: Sequence[Blob],
    config: dict[str, Any],
    known: frozenset[str],
    tell: Tell,
) -> None:
    new = sum(blob.size_bytes for blob in blobs if blob.digest not in known)
    tell(f"Handing {new / 1e6:.0f} MB over to Podman")
    with store.packed(oci.archive(tag, base.beneath, blobs, config, known)) as parts:
        store.load(client, parts, tag)


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


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory for layers; not in memory, where /tmp is often kept."""
    place = "/var/tmp" if os.access("/var/tmp", os.W_OK) and "TMPDIR" not in os.environ else None
    with tempfile.TemporaryDirectory(prefix="prism-image-", dir=place) as directory:
        yield Path(directory)
