"""Tell of links: the log, the audit log, and what has to outlive the server, their last addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from prism_core.gateway.auditing import Audit
from prism_core.gateway.views import TunnelInfo

log = structlog.get_logger("prism.links")

FILE = "addresses.json"


class Notices:
    """Hears of every change of a tunnel. Made by `open_notices`.

    Parameters
    ----------
    audit
        Where it is written down.
    addresses
        A file for the last base URL of each link provider.
    """

    def __init__(self, audit: Audit, addresses: Path) -> None:
        self._audit = audit
        self._path = addresses
        self._addresses = _read(addresses)
        self._queue: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()

    def last_url(self, name: str) -> str:
        """Return the base URL that a link provider had last, "" if it never had one."""
        return self._addresses.get(name, "")

    def hear(self, before: TunnelInfo, now: TunnelInfo, links: Sequence[str], *, audited: bool) -> None:
        """Tell what is new; ``audited``: also in the audit log that it comes and goes."""
        event = event_of(before, now)
        if not event:
            return
        facts: dict[str, Any] = {"tunnel": now.name, "url": now.url}
        if event != "link.up":
            facts |= {"reason": now.reason}
        moved = now.state == "up" and before.url and before.url != now.url
        (log.info if now.state == "up" else log.error)(event, **facts)
        if audited:
            self._later(self._audit.note(event, now.url or now.name, tunnel=now.name, reason=now.reason))
        if moved:
            log.warning("link.moved", tunnel=now.name, before=before.url, now=now.url, links=len(links))
            self._later(self._audit.note("link.moved", now.url, tunnel=now.name, before=before.url))
        if now.state == "up" and self._addresses.get(now.name) != now.url:
            self._addresses[now.name] = now.url
            self._later(asyncio.to_thread(_write, self._path, dict(self._addresses)))

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
        """Return when everything has been told."""
        await self._queue.join()


def event_of(before: TunnelInfo, now: TunnelInfo) -> str:
    """Return what a change is called, "" for none that anybody wants to hear of."""
    if now.state == "up":
        return "link.up" if before.state != "up" or before.url != now.url else ""
    if now.state == "connecting" or (now.state == before.state and now.reason == before.reason):
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
async def open_notices(audit: Audit, data: Path) -> AsyncIterator[Notices]:
    """Tell of links; at the end what is due is told first."""
    notices = Notices(audit, data / FILE)
    task = asyncio.create_task(notices.run())
    try:
        yield notices
    finally:
        await notices.settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
