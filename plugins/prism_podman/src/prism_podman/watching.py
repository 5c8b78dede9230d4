"""Look after running containers where Podman's own bounds do not reach: what a conversion writes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from prism_podman.replica import Container

LOOK_S = 2.0


async def look_after(
    running: Callable[[], list[Container]], kill: Callable[[Container, str], Awaitable[None]]
) -> None:
    """End conversions that write too much, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        for container in running():
            layout, most = container.wanted.layout, container.wanted.disk_bytes
            if layout.converts and (size := await asyncio.to_thread(size_of, layout.spec.directory)) > most:
                await kill(container, f"it wrote {size} bytes, plugins.podman.optimize_disk is {most}")


def size_of(directory: Path) -> int:
    """Return how much a directory holds on disk; what vanishes meanwhile is nothing."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total
