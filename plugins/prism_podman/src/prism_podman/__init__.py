"""Run replicas in Podman containers, each behind a wall of its own.

The plugin itself: it describes the backend and imports no client. `machine` says what is missing
here, `service` finds Podman's socket or starts a service, `engine` speaks with it, `creating`
turns a replica's spec into a container's walls, and `launcher` starts and ends them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from prism_core.plugin import Appliance, Command, ImageBuilder, IsolationBackend, Launcher, hookimpl
from prism_podman.config import PodmanConfig
from prism_podman.machine import missing

__version__ = "0.1.0"


@hookimpl
def prism_isolation_backends() -> Iterator[IsolationBackend]:
    """Offer the isolation backend ``podman``."""
    yield IsolationBackend("podman", open=_open, config=PodmanConfig, available=missing, transport="own")


def _open(config: PodmanConfig) -> AbstractAsyncContextManager[Launcher]:
    from prism_podman.images.ensuring import images_of
    from prism_podman.launcher import open_podman

    return open_podman(config, images_of)


@hookimpl
def prism_commands() -> Iterator[Command]:
    """Offer ``prism podman``."""
    yield Command("podman", build=_command, help="Look after images and Podman.")


def _command() -> Any:
    from prism_podman.commands.group import podman

    return podman


@hookimpl
def prism_image_builders() -> Iterator[ImageBuilder]:
    """Offer to build images for ``prism export --image``."""
    yield ImageBuilder("podman", build=_build, available=missing)


def _build(cli: Any, appliance: Appliance) -> None:
    from prism_podman.commands.exporting import build

    build(cli, appliance)
