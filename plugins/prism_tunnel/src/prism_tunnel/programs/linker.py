"""A link provider by a program: started for a listener, believed when it says that it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from prism_core.plugin import ConfigError, PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.programs.config import ProgramConfig
from prism_tunnel.programs.program import Launch, Program
from prism_tunnel.programs.running import Running, started

NOT_OPEN = "No tunnel is open."
API_S = 3.0
# What is on this machine is not asked through a proxy, whatever the environment says.
_DIRECT = build_opener(ProxyHandler({}))


class ProgramLinker:
    """Runs a program for the public listener."""

    def __init__(self, program: Program, config: ProgramConfig) -> None:
        self._program = program
        self._config = config
        self._running: Running | None = None
        self._url = ""

    async def publish(self, listener: PublicListener) -> str:
        """Return the address that the program leads in from."""
        await self.withdraw()
        host = "127.0.0.1" if listener.everywhere else listener.host
        launch = self._program.plan(self._config, host, listener.port)
        running = await started(self._path(), launch)
        try:
            self._url = await self._ready(running, launch)
        except BaseException:
            await running.end()
            raise
        self._running = running
        return self._url

    async def withdraw(self) -> None:
        """End the program with all its children."""
        running, self._running = self._running, None
        if running is not None:
            await running.end()

    async def health(self) -> str:
        """Return "" while the program runs and says itself that it is connected."""
        if self._running is None:
            return NOT_OPEN
        if self._running.code() is not None:
            return self._ended(self._running)
        signs = self._program.signs
        found = signs.api.search(self._running.text) if signs.api else None
        if not found:
            return ""
        address = f"http://{found['api']}{signs.healthy}"
        return await asyncio.to_thread(self._asked, address, self._url if signs.shows_url else "")

    async def broken(self) -> str:
        """Return why the program ended, as soon as it has."""
        running = self._running
        if running is None:
            return NOT_OPEN
        await running.ended()
        return self._ended(running)

    def _path(self) -> str:
        path = self._program.path()
        if not path:
            raise TunnelRefused(self._program.missing())
        return path

    async def _ready(self, running: Running, launch: Launch) -> str:
        """Return the address as soon as the program is ready."""
        try:
            async with asyncio.timeout(self._config.start_s):
                while not (url := self._found(running, launch)):
                    await running.changed(running.text)
                return url
        except TimeoutError as error:
            raise TunnelFailed(
                f"{self._program.name} was not ready within {self._config.start_s:g} s: {running.tail()}"
            ) from error

    def _found(self, running: Running, launch: Launch) -> str:
        signs, text = self._program.signs, running.text
        refused = signs.refused.search(text) if signs.refused else None
        if refused:
            raise TunnelRefused(
                f"{self._program.name} is refused: {running.shown(' '.join(refused[0].split()))[-400:]}",
                hint=f"It needs {self._program.needs}; see {self._program.docs}",
            )
        if running.code() is not None:
            raise TunnelFailed(self._ended(running), hint=f"See {self._program.docs}")
        told = signs.url.search(text) if signs.url else None
        url = launch.url or (told["url"] if told else "")
        if not url or not signs.ready.search(text):
            return ""
        return url.rstrip("/") if "://" in url else f"https://{url}"

    def _ended(self, running: Running) -> str:
        return f"{self._program.name} ended with {running.code()}: {running.tail()}"

    def _asked(self, address: str, shows: str) -> str:
        try:
            with _DIRECT.open(address, timeout=API_S) as answer:
                said = answer.read(1 << 20).decode(errors="replace")
        except URLError as error:
            return f"{self._program.name} is not connected: {error.reason}."
        except OSError as error:
            return f"{self._program.name} does not answer: {error}."
        return "" if shows in said else f"{self._program.name} has no tunnel at {shows} any more."


@asynccontextmanager
async def open_program(config: ProgramConfig, program: Program) -> AsyncIterator[ProgramLinker]:
    """Open the provider; its program ends with it."""
    if config.lacks():
        raise ConfigError(config.lacks(), hint=f"See {program.docs}")
    linker = ProgramLinker(program, config)
    try:
        yield linker
    finally:
        await linker.withdraw()
