"""``plugins.podman``: where Podman is, what images begin with, and the bounds of a container."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from prism_core.plugin import Bytes

MB = 1024 * 1024


@attrs.frozen
class PodmanConfig:
    """The settings of the isolation backend ``podman``.

    Parameters
    ----------
    socket
        Podman's API: ``unix:///run/podman/podman.sock``, ``tcp://HOST:PORT`` or a path. "": found, or a
        service is started.
    namespace
        Whose containers are whose. "" is replaced by the server's own id.
    address
        How a replica is reached: ``unix`` by a socket in a mounted directory, without any network; ``tcp``
        by a port on 127.0.0.1, for a Podman in a virtual machine (macOS, Windows).
    base_image
        What images begin with. "": a base that was made here, else ``docker.io/library/python:X.Y-slim``
        of the environment's Python.
    launch_s
        How long starting a container may take, an image not counted.
    memory_share
        How much of the machine's memory a container may take for which no ``memory_limit`` is set.
    tmp
        The size of a container's own /tmp.
    max_threads
        How many processes and threads a container may have.
    optimize_disk
        How much a conversion may write.
    variables
        Environment variables that are passed on to models.
    abreast
        How many calls to Podman are made at a time.
    """

    socket: str = ""
    namespace: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    address: Literal["unix", "tcp"] = "unix"
    base_image: str = ""
    launch_s: Annotated[float, Meta(gt=0)] = 60.0
    memory_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    tmp: Bytes = 64 * MB
    max_threads: Annotated[int, Meta(ge=16, le=32768)] = 256
    optimize_disk: Bytes = 4096 * MB
    variables: tuple[str, ...] = ()
    abreast: Annotated[int, Meta(ge=1, le=32)] = 4
