"""``prism tunnel test``: open one, look through it from outside, and close it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import attrs
import rich_click as click

from prism_core.plugin import CommandLine, ConfigError, LinkProvider, PublicListener, TunnelFailed
from prism_tunnel.commands.providers import way

# Between two looks at an address that does not answer yet: names take a while to be known everywhere.
PAUSE_S = 0.5
ONCE_S = 10.0


@attrs.frozen
class Trial:
    """What a trial showed: the address, how long it took to have it, and until an answer came back."""

    tunnel: str
    url: str
    opened_s: float
    answered_s: float


@click.command("test")
@click.argument("name", metavar="TUNNEL")
@click.option("--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait.")
@click.pass_obj
def test(cli: CommandLine, name: str, timeout: float) -> None:
    """Open a tunnel, look through it from outside, and close it.

    It leads to a page that this command answers itself: no server, model or link is reached.
    """
    chosen = way(cli, name)
    if chosen.reason:
        raise ConfigError(f"The tunnel {name!r} cannot be used: {chosen.reason}")
    with cli.progress(f"Opening {name}"):
        trial = asyncio.run(tried(chosen.provider, chosen.config, timeout))
    if cli.json:
        cli.write_json(attrs.asdict(trial))
    else:
        click.echo(
            f"{trial.url}: open after {trial.opened_s:.1f} s, answered after {trial.answered_s:.1f} s."
        )


async def tried(provider: LinkProvider, config: Any, timeout_s: float) -> Trial:
    """Return what a trial showed.

    Raises
    ------
    TunnelFailed, TunnelRefused
        If it does not open, or what is asked of its address does not arrive here.
    """
    began, nonce = time.monotonic(), secrets.token_urlsafe(16)
    async with _listening(nonce) as listener, provider.open(config) as linker:
        url = await linker.publish(listener)
        opened_s = time.monotonic() - began
        await _answer(url, nonce, timeout_s)
        answered_s = time.monotonic() - began
        await linker.withdraw()
    return Trial(provider.name, url, opened_s, answered_s)


async def _answer(url: str, nonce: str, timeout_s: float) -> None:
    """Return when ``url`` leads here; what is asked is elsewhere, and tells nobody when it is ready."""
    ends = time.monotonic() + timeout_s
    while reason := await asyncio.to_thread(_asked, f"{url}/{nonce}", nonce, min(ONCE_S, timeout_s)):
        if time.monotonic() > ends:
            raise TunnelFailed(
                f"The tunnel is open, but {url} does not lead here: {reason}",
                hint="Is the address reached from here, and does a firewall let its port in?",
            )
        await asyncio.sleep(PAUSE_S)


def _asked(url: str, nonce: str, within_s: float) -> str:
    """Return "" if ``url`` leads to our page, else what it leads to."""
    # Services show browsers a page of their own first; ngrok passes on what has this header.
    request = Request(url, headers={"User-Agent": "prism", "ngrok-skip-browser-warning": "1"})
    try:
        with urlopen(request, timeout=within_s) as answer:
            return "" if answer.read(len(nonce) + 1) == nonce.encode() else "something else answers."
    except URLError as error:
        return f"{error.reason}."
    except OSError as error:
        return f"{error}."


@asynccontextmanager
async def _listening(nonce: str) -> AsyncIterator[PublicListener]:
    """Answer what asks for the nonce with it, on a port of 127.0.0.1."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_response(head, nonce))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked went away, or asked something else than HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield PublicListener("127.0.0.1", server.sockets[0].getsockname()[1])


def _response(head: bytes, nonce: str) -> bytes:
    found = head.startswith(f"GET /{nonce} ".encode())
    status, body = ("200 OK", nonce) if found else ("404 Not Found", "")
    fields = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", "", body)
    return "\r\n".join(fields).encode()
