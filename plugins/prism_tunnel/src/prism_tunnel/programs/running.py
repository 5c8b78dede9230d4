"""A program that runs: what it prints is read within bounds, and all of it ends with us."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from prism_tunnel.programs import guard
from prism_tunnel.programs.program import Launch
from prism_tunnel.text import plain

# Of what it prints, as much is looked through; what is older is forgotten.
KEPT_CHARS = 32_768
READ_BYTES = 4096
# How long it has to say goodbye to its service; and how long we wait for the guard beyond that.
GRACE_S = 5.0
SLACK_S = 5.0
TAIL_LINES, TAIL_CHARS = 4, 400


class Running:
    """One start of a program, until it ends; made by `started`."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        self._process = process
        self._secrets = [one for one in launch.secrets if one]
        self._changed = asyncio.Condition()
        self._over = False
        self.text = ""
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    async def changed(self, seen: str) -> None:
        """Return when more than ``seen`` was printed, or the program has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._over or self.text != seen)

    async def ended(self) -> None:
        """Return when the program has ended, and all that it printed is in ``text``."""
        await asyncio.shield(self._reading)

    def code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.returncode if self._over else None

    def tail(self) -> str:
        """Return the last lines that it printed, on one, without secrets."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return self.shown(" / ".join(lines[-TAIL_LINES:]))[-TAIL_CHARS:] or "it said nothing."

    def shown(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def end(self) -> None:
        """End it and its children: by a signal, and if it does not heed that by force."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(GRACE_S + SLACK_S):
                await self.ended()
        except TimeoutError:
            self._process.kill()  # the guard: the kernel ends the program with it
            await self.ended()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while data := await self._process.stdout.read(READ_BYTES):
                await self._hear(data.decode(errors="replace"))
        finally:
            await self._process.wait()
            self._over = True
            await self._hear("")

    async def _hear(self, text: str) -> None:
        async with self._changed:
            self.text = (self.text + plain(text))[-KEPT_CHARS:]
            self._changed.notify_all()


async def started(path: str, launch: Launch) -> Running:
    """Start a program in a process group of its own."""
    directory = _directory(launch.files)
    argv = [one.replace("{directory}", directory) for one in launch.argv]
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guard.__file__, str(GRACE_S), directory, path, *argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(os.environ, launch.environ),
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal ends the server, which ends it in order
        )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Running(process, launch)


def environment(environ: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return what a program is told: all of ours that is not PRISM's own, and what its launch adds."""
    return {**{name: value for name, value in environ.items() if not name.startswith("PRISM_")}, **more}


def _directory(files: Mapping[str, str]) -> str:
    """Write files where nobody else can read them; the guard removes them."""
    if not files:
        return ""
    directory = tempfile.mkdtemp(prefix="prism-tunnel-")
    for name, text in files.items():
        path = Path(directory, name)
        path.touch(mode=0o600)
        path.write_text(text)
    return directory
