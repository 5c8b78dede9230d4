"""Speak with Podman's API without stopping the event loop.

podman-py is synchronous: each call runs in a thread of a small pool, so that a burst of starts
queues here instead of overrunning the service.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs

from prism_core.plugin import ConfigError
from prism_podman.config import PodmanConfig
from prism_podman.facts import Facts, facts_of
from prism_podman.service import HINT, Service, reach

Result = TypeVar("Result")

# How long Podman may be silent within one call; a build, which streams, sets its own.
CALL_S = 120.0
# How many images are made at a time.
WORKS = 2


@attrs.frozen(eq=False)
class Engine:
    """An open connection with Podman.

    Attributes
    ----------
    url
        Where its API is.
    client
        podman-py's `PodmanClient`, for `call`.
    facts
        What it said of itself when it was opened.
    """

    url: str
    client: Any
    facts: Facts
    _calls: ThreadPoolExecutor
    _works: ThreadPoolExecutor
    service: Service | None = None

    async def call(self, function: Callable[[Any], Result]) -> Result:
        """Return ``function(client)``, called in a thread.

        A service that was started here and has died is started again, and asked again.
        """
        if self.service and self.service.has_ended:
            await self.service.revive()
        try:
            return await self._threaded(function)
        except Exception as error:
            if not (lost(error) and self.service and await self.service.revive()):
                raise
        return await self._threaded(function)

    async def work(self, function: Callable[[Any], Result]) -> Result:
        """Return ``function(client)`` of what takes long, as a build: nothing else waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._works, function, self.client)

    async def _threaded(self, function: Callable[[Any], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._calls, function, self.client)


@asynccontextmanager
async def open_engine(config: PodmanConfig) -> AsyncIterator[Engine]:
    """Connect to the Podman of the settings, or of this machine; start its service where there is none.

    Raises
    ------
    ConfigError
        If there is no Podman to be had, with what it said.
    """
    async with reach(config) as reached:
        url = reached.url
        calls = ThreadPoolExecutor(config.abreast, thread_name_prefix="prism-podman")
        works = ThreadPoolExecutor(WORKS, thread_name_prefix="prism-podman-work")
        client = await asyncio.get_running_loop().run_in_executor(calls, _client, url, config)
        try:
            info = await asyncio.get_running_loop().run_in_executor(calls, _info, client, url)
            facts = facts_of(info, platform.release())
            yield Engine(url, client, facts, calls, works, reached.service)
        finally:
            for threads in (works, calls):
                await asyncio.to_thread(threads.shutdown)
            client.close()


def lost(error: BaseException) -> bool:
    """Return whether there was nobody to speak with: podman-py says so in two ways."""
    from podman.errors import APIError
    from requests import ConnectionError

    return isinstance(error, ConnectionError) or (isinstance(error, APIError) and error.response is None)


def _client(url: str, config: PodmanConfig) -> Any:
    from podman import PodmanClient

    # One connection for each thread.
    return PodmanClient(base_url=url, timeout=CALL_S, max_pool_size=config.abreast + WORKS)


def _info(client: Any, url: str) -> dict[str, Any]:
    from podman.errors import NotFound

    try:
        found = client.info()
    except NotFound:
        found = None
    except Exception as error:  # podman-py lets errors of requests through, and raises its own
        raise ConfigError(f"Podman does not answer at {url}: {error}", hint=HINT) from error
    if not isinstance(found, dict) or "host" not in found:
        raise ConfigError(
            f"What answers at {url} is not Podman.", hint="Docker's API cannot do what is needed."
        )
    return found
