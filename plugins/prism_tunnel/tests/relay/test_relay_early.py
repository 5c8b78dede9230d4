"""Answers that come before the request is all there: refusals of what need not be read."""

import asyncio

import pytest

from prism_tunnel.relay.exchanges import SHORT_BYTES


async def refuse(reader, writer):
    """Refuse each request by its head, then read its body, as servers do that keep connections."""
    while head := await head_of(reader):
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await body_of(reader, length)
    writer.close()


async def head_of(reader):
    """Return the next head, b"" at the end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def body_of(reader, length):
    """Read a body, or what there is of it."""
    try:
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


@pytest.fixture
async def refuser():
    """The port of such a server."""
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def ask(reader, writer, length):
    """Send a head, and the body when the answer is there; return the answer's head."""
    writer.write(f"POST / HTTP/1.1\r\nHost: ann.links.test\r\nContent-Length: {length}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"no"
    writer.write(b"x" * length)
    return head


@pytest.mark.parametrize("length", [1, SHORT_BYTES])
async def test_a_short_body_is_read_and_the_connection_kept(relay, refuser, length):
    async with relay.published(refuser):
        reader, writer = await relay.visit()
        async with asyncio.timeout(20):
            heads = [await ask(reader, writer, length) for _ in range(3)]
        writer.close()

    assert all(head.startswith(b"HTTP/1.1 401 ") and b"connection: close" not in head for head in heads)


async def test_a_long_one_ends_the_connection_and_the_visitor_is_told(relay, refuser):
    async with relay.published(refuser):
        reader, writer = await relay.visit()
        async with asyncio.timeout(20):
            head = await ask(reader, writer, SHORT_BYTES + 1)
            rest = await reader.read()
        writer.close()

    assert b"connection: close" in head
    assert rest == b""
