"""Ask this very server for something through a public address: only an answer shows that a link works.

What is asked for and what is answered are random and known to nobody else: a page of an
error, of a provider or of whoever else has the address is not taken for the server.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

PATH = "/.well-known/prism/"
# A probe is one small answer: who takes longer is not reached.
CONNECT_S, WHOLE_S = 5.0, 10.0


class Prober:
    """Sends probes, and knows what to answer to them.

    Parameters
    ----------
    ca
        A file of certificates of an authority that is believed beside the system's; "" for none.
    """

    def __init__(self, ca: str = "") -> None:
        self._ca = ca
        self._pending: dict[str, bytes] = {}
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    def answer(self, nonce: str) -> bytes | None:
        """Return what a probe's route answers, None where no probe of ours is under way."""
        return self._pending.get(nonce)

    async def ask(self, base: str) -> str:
        """Return "" if this server answers under ``base``, else why not, as a sentence."""
        nonce, answer = secrets.token_urlsafe(24), secrets.token_hex(16).encode()
        self._pending[nonce] = answer
        try:
            async with asyncio.timeout(WHOLE_S):
                return await self._ask(f"{base}{PATH}{nonce}", answer)
        except TimeoutError:
            return f"{base} did not answer within {WHOLE_S:g} s."
        finally:
            del self._pending[nonce]

    async def _ask(self, url: str, answer: bytes) -> str:
        import httpx

        host = url.partition(PATH)[0]
        client = await self._open()
        try:
            async with client.stream("GET", url) as response:
                told = await _beginning(response, len(answer))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{host} cannot be reached: {str(error) or type(error).__name__}."
        if response.status_code == 200 and secrets.compare_digest(told, answer):
            return ""
        return f"{host} answers {response.status_code}, but it is not this server that does."

    async def _open(self) -> httpx.AsyncClient:
        async with self._making:
            if self._client is None:
                # In a thread: importing it and reading the system's certificates takes 200 ms.
                self._client = await asyncio.to_thread(_client, self._ca)
        return self._client

    async def close(self) -> None:
        """Let go of what probes needed."""
        if self._client is not None:
            await self._client.aclose()


async def _beginning(response: httpx.Response, size: int) -> bytes:
    """Return a body, or enough of it to see that it is longer than ``size``."""
    told = b""
    async for piece in response.aiter_raw():
        told += piece
        if len(told) > size:
            break
    return told


def _client(ca: str) -> httpx.AsyncClient:
    import httpx

    context = httpx.create_ssl_context()
    if ca:
        context.load_verify_locations(ca)
    # No connection is kept: a probe goes the whole way that a stranger goes.
    return httpx.AsyncClient(
        verify=context,
        follow_redirects=False,
        timeout=httpx.Timeout(WHOLE_S, connect=CONNECT_S),
        limits=httpx.Limits(max_keepalive_connections=0),
        headers={"user-agent": "prism-probe", "accept-encoding": "identity"},
    )
