"""One container of a launcher: how its end is heard, what it says of that, what it uses."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import attrs

from prism_core.plugin import ReplicaHandle, Usage
from prism_podman import containers, processes
from prism_podman.cgroups import Group
from prism_podman.creating import Wanted
from prism_podman.ending import Exit, exit_of
from prism_podman.engine import Engine

# How often it is asked for the state of containers whose processes cannot be seen from here. Their
# connections tell of their end sooner.
ASK_S = 0.5

log = logging.getLogger("prism.podman")


@attrs.define(eq=False)
class Container:
    """A container that runs a replica.

    Attributes
    ----------
    exited
        How it ended.
    gone
        Done when nothing of it is left.
    told
        Whether it was asked to end.
    excess
        What it took too much of, if it is ended for that.
    """

    id: str
    handle: ReplicaHandle
    wanted: Wanted
    engine: Engine
    group: Group | None
    told: bool = False
    excess: str = ""
    exited: asyncio.Future[Exit] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())
    gone: asyncio.Future[None] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())
    _oom: bool = False
    _ending: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Hear of its end: from the kernel, else by asking Podman."""
        if not (self.handle.pid and processes.at_end(self.handle.pid, self._heard)):
            self._ending = asyncio.create_task(self._end(heard=False))

    def _heard(self) -> None:
        # At once: in some milliseconds Podman's cleaning up takes the group away.
        self._oom = self.group is not None and self.group.killed()
        self._ending = asyncio.create_task(self._end(heard=True))

    async def _end(self, heard: bool) -> None:
        """Learn how it ended, then remove it."""
        try:
            while not heard:  # no thread is held meanwhile: containers may be many
                heard = await self.engine.call(partial(containers.has_ended, container=self.id))
                await asyncio.sleep(0 if heard else ASK_S)
            ended = await self.engine.call(partial(containers.wait, container=self.id))
            self.exited.set_result(self._exit(ended))
            await self.engine.call(partial(containers.remove, container=self.id))
        except Exception:  # a service that is gone; what is left is an orphan for the next server
            log.exception("podman.container_kept %s", self.wanted.name)
        finally:
            if not self.exited.done():
                self.exited.set_result(Exit(-1))
            await asyncio.to_thread(self.wanted.layout.remove)
            self.gone.set_result(None)

    def _exit(self, ended: containers.Ended) -> Exit:
        return exit_of(
            ended.code,
            told=self.told,
            oom=self._oom or ended.oom,
            excess=self.excess,
            limit=self.wanted.spec.memory_limit_bytes,
        )

    @property
    def connectable(self) -> bool:
        """Whether its address can be connected to; of a port no attempt tells: a forwarded one takes any."""
        return self.wanted.layout.socket.exists()

    async def usage(self) -> Usage | None:
        """Measure it, or None when it has ended."""
        if self.exited.done():
            return None
        if self.group is not None:
            try:
                return await asyncio.to_thread(self.group.usage)
            except (OSError, ValueError, KeyError):
                return None
        if self.handle.pid:
            return await asyncio.to_thread(processes.usage, self.handle.pid)
        return await self.engine.call(partial(containers.usage, container=self.id))
