"""Remove what a server that did not live to do it has left: containers with its label, their directories."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from functools import partial
from pathlib import Path

from prism_podman import containers
from prism_podman.creating import BASE, REPLICA, SERVER
from prism_podman.engine import Engine

log = logging.getLogger("prism.podman")


async def remove_orphans(engine: Engine, namespace: str) -> int:
    """Remove all containers of a namespace, return how many; those of other servers are not touched.

    They are not taken over: their gateway's side, of a connection that has been lost, is gone.
    """
    left = await engine.call(partial(containers.listed, labels={SERVER: namespace}))
    for one in left:
        await engine.call(partial(containers.remove, container=one["Id"]))
        await asyncio.to_thread(_remove_directory, one["Labels"].get(BASE, ""))
        log.info("podman.orphan_removed replica=%s", one["Labels"].get(REPLICA, ""))
    return len(left)


def _remove_directory(base: str) -> None:
    """Remove a container's directory; the one that all of its server are in is swept by the next."""
    path = Path(base)
    if base and path.is_absolute() and path.is_dir() and path.stat().st_uid == os.geteuid():
        shutil.rmtree(path, ignore_errors=True)
