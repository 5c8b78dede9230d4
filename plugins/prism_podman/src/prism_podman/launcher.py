"""Start replicas as containers, and end them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prism_core.plugin import ConfigError, Launcher
from prism_podman.config import PodmanConfig
from prism_podman.engine import open_engine


@asynccontextmanager
async def open_podman(config: PodmanConfig) -> AsyncIterator[Launcher]:
    """Open the launcher; when it is closed, no container that it started is left."""
    async with open_engine(config):
        raise ConfigError("Containers cannot be started by this version of prism-podman yet.")
        yield
