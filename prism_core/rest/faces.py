"""Frontends with a listener of their own: opened when the public one accepts, drained together with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs
import structlog

from prism_core.errors import ConfigError, PrismError
from prism_core.gateway.callers.door import Entry
from prism_core.gateway.extensions import Configs, check_available, config_of
from prism_core.plugins import PluginSet
from prism_core.protocols import PublicListener
from prism_core.rest.access import AccessLog
from prism_core.rest.doors import Doors
from prism_core.rest.listen import address_of
from prism_core.rest.requests import made_id
from prism_core.serving import Face, Frontend, Surroundings
from prism_core.settings import Settings

log = structlog.get_logger("prism.gateway")


class Faces:
    """The open ones. Made by `faces_of`.

    Attributes
    ----------
    cut
        Whether some of them had to be closed before all was answered.
    """

    cut = False

    def __init__(self, stack: AsyncExitStack, drain_s: float) -> None:
        self._stack = stack
        self._drain_s = drain_s
        self._open: dict[str, Face] = {}
        self._draining: set[asyncio.Task[bool]] = set()

    async def open(self, plugins: PluginSet, configs: Configs, host: Any) -> dict[str, str]:
        """Open all that can be; return where each listens, by its name.

        Raises
        ------
        ConfigError
            If one cannot be opened that its configuration asks for; others are left out, and the log says so.
        """
        for name, frontend in plugins.frontends.items():
            if frontend.listener == "own" and (face := await self._opened(frontend, configs, host)):
                self._open[name] = face
                log.info("extension.opened", kind="frontend", name=name, url=face.url)
        return {name: face.url for name, face in self._open.items()}

    async def _opened(self, frontend: Frontend, configs: Configs, host: Any) -> Face | None:
        config = config_of(frontend, configs)
        wanted = frontend.wanted(config)
        if (reason := frontend.available()) and not wanted:
            log.info("extension.unavailable", kind="frontend", name=frontend.name, reason=reason)
            return None
        check_available(frontend)
        try:
            return await self._stack.enter_async_context(_open(frontend, config, host))
        except Exception as error:
            if wanted:
                raise _explained(frontend, error) from error
            log.error("extension.failed", kind="frontend", name=frontend.name, error=_reason(error))
            return None

    def drain(self) -> None:
        """Let all of them accept nothing more, and answer what they have."""
        for face in self._open.values():
            self._draining.add(asyncio.create_task(_drained(face, self._drain_s)))
        self._open = {}

    async def end(self, hurry: asyncio.Event) -> None:
        """Wait until they have drained, no longer than until ``hurry`` is set."""
        if not self._draining:
            return
        drained: asyncio.Future[list[bool]] = asyncio.gather(*self._draining)
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not drained.done():
            self.cut = True
            drained.cancel()
        (ended,) = await asyncio.gather(drained, return_exceptions=True)
        if isinstance(ended, Exception):
            log.error("extension.failed", kind="frontend", error=_reason(ended))
        self.cut = self.cut or ended != [True] * len(self._draining)


def _open(frontend: Frontend, config: Any, host: Any) -> Any:
    opening: Any = frontend.open
    return opening(config, host)


async def _drained(face: Face, timeout_s: float) -> bool:
    """Drain one; return whether it had the time that it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await face.drain(timeout_s)
    return loop.time() - begun < timeout_s


def _explained(frontend: Frontend, error: Exception) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    return ConfigError(
        f"The frontend {frontend.name!r} cannot be opened: {_reason(error)}",
        hint=f"Its settings are below plugins.{frontend.name}.",
    )


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PrismError) else f"{type(error).__name__}: {error}"


@asynccontextmanager
async def faces_of(drain_s: float, hurry: asyncio.Event) -> AsyncIterator[Faces]:
    """Have a place for frontends with listeners of their own; at the end they drain, then they are closed."""
    async with AsyncExitStack() as stack:
        faces = Faces(stack, drain_s)
        try:
            yield faces
        finally:
            faces.drain()
            await faces.end(hurry)


# --- what they are told, and tell ---------------------------------------------------------------


def surroundings_of(settings: Settings, doors: Doors) -> Surroundings:
    """Return what a listener of its own has to fit in with."""
    host, port = address_of(doors.public[0])
    fits = Surroundings(host, port, max_body_bytes=settings.limits.max_body, any_port=settings.port == 0)
    if doors.secrets is None:
        return fits
    pair = doors.secrets.pair
    return attrs.evolve(
        fits,
        tls_cert=str(pair.cert),
        tls_key=str(pair.key or pair.cert),
        client_ca=str(pair.client_ca or ""),
    )


def urls_of(faces: Mapping[str, str], public_url: str) -> dict[str, str]:
    """Return where frontends are reached; on the public listener's host, where they listen everywhere."""
    return {name: _reached(urlsplit(url), urlsplit(public_url).hostname or "") for name, url in faces.items()}


def _reached(url: SplitResult, host: str) -> str:
    listener = PublicListener(url.hostname or "", url.port or 0, scheme=url.scheme)
    return listener.url(host if listener.everywhere else "")


def noting(access: AccessLog | None) -> Callable[..., None]:
    """Return what writes a line for a request that came by another listener; see `Host.note`."""

    def note(
        method: str,
        path: str,
        client: str,
        status: int,
        answer_bytes: int,
        seconds: float,
        *,
        request: str = "",
        admitted: Any = None,
        predicted: Any = None,
    ) -> None:
        if access is None:
            return
        entry = admitted if isinstance(admitted, Entry) else None
        address = entry.call.client if entry else client
        line = access.begun(request or made_id(), (address, 0), method, path)
        line.time, line.ms = time.time() - seconds, time.monotonic() - seconds
        access.ended(line, status, answer_bytes, entry, predicted)

    return note
