"""Look after running containers where Podman's own bounds do not reach: what a conversion writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prism_core.plugin import size_of
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
