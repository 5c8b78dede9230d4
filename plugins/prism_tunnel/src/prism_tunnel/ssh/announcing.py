"""A session with a service that prints an address: what it says, and when it ends."""

from __future__ import annotations

import asyncio
import re
from collections import deque

import asyncssh

from prism_core.plugin import TunnelFailed
from prism_tunnel.ssh.faults import said
from prism_tunnel.text import plain

# Of what a service says, this much is looked through and kept for reasons.
READ_CHARS = 4096
KEPT_CHARS = 16_384


class Announcement:
    """A shell without a terminal on a service, whose text is read while it lasts."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._text: deque[str] = deque(maxlen=KEPT_CHARS)
        self._read = asyncio.Condition()
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def address(
        self, ssh: asyncssh.SSHClientConnection, pattern: re.Pattern[str], within_s: float
    ) -> str:
        """Return the address that the service prints.

        Raises
        ------
        TunnelFailed
            If it ends, or prints none in time; with what it said.
        """
        try:
            async with asyncio.timeout(within_s):
                process = await ssh.create_process(errors="replace")
                self._tasks = [asyncio.create_task(self._follow(process))]
                return await self._found(pattern)
        except TimeoutError as error:
            raise TunnelFailed(f"{self._place} told no address in time: {self.tail()}") from error
        except asyncssh.Error as error:
            raise TunnelFailed(f"{self._place} ended the session: {said(error)}.") from error

    async def ended(self) -> str:
        """Return why the session ended, as soon as it has."""
        async with self._read:
            await self._read.wait_for(lambda: self._over)
        return self.reason()

    def reason(self) -> str:
        """Return "" while the session lasts, else that it ended, and what was said last."""
        return f"{self._place} ended the session: {self.tail()}" if self._over else ""

    def tail(self) -> str:
        """Return the last lines that were said, on one."""
        lines = [line.strip() for line in plain("".join(self._text)).splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-300:] or "it said nothing."

    async def _found(self, pattern: re.Pattern[str]) -> str:
        async with self._read:
            while not (found := pattern.search(plain("".join(self._text)))):
                if self._over:
                    raise TunnelFailed(self.reason())
                await self._read.wait()
        return found["url"]

    async def _follow(self, process: asyncssh.SSHClientProcess[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for stream in (process.stdout, process.stderr):
                    group.create_task(self._drain(stream))
        finally:
            async with self._read:
                self._over = True
                self._read.notify_all()

    async def _drain(self, stream: asyncssh.SSHReader[str]) -> None:
        try:
            while text := await stream.read(READ_CHARS):
                async with self._read:
                    self._text.extend(text)
                    self._read.notify_all()
        except (asyncssh.Error, OSError):
            pass  # the connection ended, which is told by itself
