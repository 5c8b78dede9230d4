"""Carry requests to a server by HTTP: whatever it does, there is an `Answer`, in time and in bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import httpx

from prism_oip.conformance.exchange import Answer, Request

# Larger answers are cut off and count as a fault: no model's metadata, nor an answer to a small request, is.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
# No proxy of the environment leads to these.
LOCAL = ("localhost", "127.0.0.1", "::1")


@attrs.frozen
class RestSession:
    """A server by its URL."""

    client: httpx.AsyncClient
    url: str
    timeout_s: float

    async def ask(self, request: Request) -> Answer:
        """Send a request; return what came, or why nothing did."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._asked(request)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(fault=f"no whole answer within {self.timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(fault=_told(error))

    async def _asked(self, request: Request) -> Answer:
        target = f"{self.url}/{request.path}"
        async with self.client.stream(
            request.method, target, headers=dict(request.headers), content=request.body
        ) as came:
            body = bytearray()
            async for chunk in came.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return Answer(fault=f"an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
            return Answer(came.status_code, {k.lower(): v for k, v in came.headers.items()}, bytes(body))


def _told(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return f"no connection: {text}"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return f"no answer of HTTP: {text}"
    return f"no answer: {text}"


@asynccontextmanager
async def open_rest(
    url: str, timeout_s: float, headers: Mapping[str, str], ca: str = ""
) -> AsyncIterator[RestSession]:
    """Open what sends requests; each has a connection of its own, so one that is closed harms no other."""
    verify = ssl.create_default_context(cadata=ca or None)
    async with httpx.AsyncClient(
        headers={"Accept-Encoding": "identity", "User-Agent": "prism-conformance", **headers},
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=timeout_s,
        trust_env=httpx.URL(url).host not in LOCAL,
        verify=verify,
    ) as client:
        yield RestSession(client, url, timeout_s)
