"""Tell what happens to links: as events, in the audit log, and to their owner when they have moved.

Also kept here is what has to outlive the server for that: the last address of each link provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from prism_core.gateway.auditing import Audit
from prism_core.gateway.telling import Moved, Telling
from prism_core.gateway.views import TunnelInfo
from prism_core.specs import ModelEvent

log = structlog.get_logger("prism.links")

FILE = "addresses.json"
# How long the end of a server waits until somebody has been told.
LAST_WORDS_S = 2.0


class Notices:
    """Hears of every change of a tunnel. Made by `open_notices`.

    Parameters
    ----------
    audit
        Where it is written down.
    emit
        Takes events.
    telling
        Tells the owner that links have moved.
    addresses
        A file for the last base URL of each link provider.
    """

    def __init__(
        self, audit: Audit, emit: Callable[[ModelEvent], None], telling: Telling, addresses: Path
    ) -> None:
        self._audit = audit
        self._emit = emit
        self._telling = telling
        self._path = addresses
        self._addresses = _read(addresses)
        self._queue: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        self._told: set[asyncio.Task[None]] = set()

    def last_url(self, name: str) -> str:
        """Return the base URL that a link provider had last, "" if it never had one."""
        return self._addresses.get(name, "")

    def hear(self, before: TunnelInfo, now: TunnelInfo, links: Sequence[str], *, tunnel: bool) -> None:
        """Tell what is new of a provider that ``links`` go through.

        ``tunnel``: it is one. The coming and going of others is an event, and not written down.
        """
        event = event_of(before, now)
        if event:
            facts = {"tunnel": now.name, "url": now.url, "reason": now.reason, "links": list(links)}
            self._emit(ModelEvent(event, "", 0, time.time(), facts))
            if tunnel:
                note = self._audit.note(event, now.url or now.name, tunnel=now.name, reason=now.reason)
                self._later(note)
        if now.state == "up" and now.url != self.last_url(now.name):
            self._move(Moved(now.name, self.last_url(now.name), now.url, tuple(links)))

    def _move(self, moved: Moved) -> None:
        self._addresses[moved.tunnel] = moved.now
        self._later(asyncio.to_thread(_write, self._path, dict(self._addresses)))
        if not moved.before:
            return
        facts = moved.facts
        self._emit(ModelEvent("link.moved", "", 0, time.time(), facts))
        self._later(self._audit.note("link.moved", moved.now, tunnel=moved.tunnel, before=moved.before))
        if moved.links:  # where nobody has a link there is nothing to send again
            task = asyncio.create_task(self._telling.tell(moved))
            self._told.add(task)
            task.add_done_callback(self._told.discard)

    def _later(self, telling: Coroutine[Any, Any, None]) -> None:
        self._queue.put_nowait(telling)

    async def run(self) -> None:
        """Tell, in order, until cancelled."""
        while True:
            telling = await self._queue.get()
            try:
                await telling
            except Exception:
                log.exception("link.not_told")
            finally:
                self._queue.task_done()

    async def settle(self) -> None:
        """Return when everything is written down, and the owner is told, if that does not take long."""
        await self._queue.join()
        if self._told:
            _, late = await asyncio.wait(self._told, timeout=LAST_WORDS_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def event_of(before: TunnelInfo, now: TunnelInfo) -> str:
    """Return what a change is called, "" for none that anybody wants to hear of."""
    if now.state == "up":
        return "link.up" if before.state != "up" else ""
    if now.state == "connecting" or (now.state, now.reason) == (before.state, before.reason):
        return ""
    return "link.failed" if now.state == "failed" else "link.down"


def _read(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):  # without it nobody is told of a move, once
        return {}


def _write(path: Path, addresses: dict[str, str]) -> None:
    scratch = path.with_suffix(".tmp")
    try:
        scratch.write_bytes(msgspec.json.encode(addresses))
        scratch.replace(path)
    except OSError as error:
        log.warning("link.address_not_kept", reason=error.strerror)


@asynccontextmanager
async def open_notices(
    audit: Audit, emit: Callable[[ModelEvent], None], telling: Telling, data: Path
) -> AsyncIterator[Notices]:
    """Tell of links; at the end what is due is told first."""
    notices = Notices(audit, emit, telling, data / FILE)
    task = asyncio.create_task(notices.run())
    try:
        yield notices
    finally:
        await notices.settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
