"""From a command to Podman: the settings, a connection, and one event loop for the time of the command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prism_core.plugin import CommandLine
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine, open_engine

Result = TypeVar("Result")


def with_podman(cli: CommandLine, work: Callable[[Engine, PodmanConfig], Awaitable[Result]]) -> Result:
    """Return what ``work`` returns, given a Podman as the settings name it."""
    config = cli.config("podman", PodmanConfig)

    async def main() -> Result:
        async with open_engine(config) as engine:
            return await work(engine, config)

    return asyncio.run(main())


def megabytes(size_bytes: int) -> str:
    """Return a size as `podman images` tells it."""
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def ago(moment: float) -> str:
    """Return how long a moment is past."""
    passed = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed // length:.0f} {unit} ago"
    return "just now"
