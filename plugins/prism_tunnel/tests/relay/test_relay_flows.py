"""What flows through a relay: bodies in any framing, streams, websockets; and who must not be held up."""

import asyncio
import os

import attrs
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

HOST = b"Host: ann.links.test\r\n"
LARGE = 24 * 1024 * 1024


async def answer_of(relay, request, *, read=None):
    """Send bytes on a connection of their own; return all that comes back."""
    reader, writer = await relay.visit()
    writer.write(request)
    async with asyncio.timeout(20):
        said = await (reader.read() if read is None else reader.readuntil(read))
    writer.close()
    return said


async def test_a_chunked_body_is_chunked_again(relay, echo):
    """And in the relay's own chunks, of the bytes alone."""
    chunks = b"3;ext=1\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
    async with relay.published(echo):
        request = (
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
        )
        said = await answer_of(relay, request)

    assert said.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert b"ext" not in said
    assert b"Trailer" not in said


async def test_hop_by_hop_headers_end_here(relay, echo):
    lines = b"Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Kept: 1\r\n"
    lines += b"Proxy-Authorization: x\r\n"
    async with relay.published(echo):
        said = await answer_of(relay, b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n")

    asked = said.partition(b"\r\n\r\n")[2].lower()
    assert b"x-kept: 1" in asked
    assert not any(name in asked for name in (b"x-secret", b"keep-alive", b"te:", b"proxy-authorization"))


async def test_the_host_cannot_be_taken_out(relay, echo):
    """``Connection: Host`` would have the laptop answer for another name."""
    async with relay.published(echo):
        said = await answer_of(
            relay, b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close, Host, X-Forwarded-For\r\n\r\n"
        )

    assert b"host: ann.links.test" in said
    assert b"x-forwarded-for: 127.0.0.1" in said


async def test_a_smuggled_request_reaches_nobody(relay):
    """The bytes behind a body that can be read in two ways are nobody's request."""
    heard = []

    async def listen(reader, writer):
        heard.append(await reader.read())

    from_smuggler = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"
        b"GET /evil HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    async with relay.serving(listen) as port, relay.published(port):
        said = await answer_of(relay, from_smuggler)

    assert said.startswith(b"HTTP/1.1 400 ")
    assert heard == []


async def test_continue_is_passed_on(relay):
    async def careful(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    async with relay.serving(careful) as port, relay.published(port):
        reader, writer = await relay.visit()
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        said = await reader.readuntil(b"hello")
        writer.close()

    assert said.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_visitor_who_speaks_http_1_0_gets_no_chunks(relay):
    async def chunked(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        await reader.read()

    async with relay.serving(chunked) as port, relay.published(port):
        said = await answer_of(relay, b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")

    assert said.endswith(b"\r\n\r\nhi")
    assert b"transfer-encoding" not in said


async def test_an_answer_without_a_length_comes_whole(relay):
    async def until_the_end(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with relay.serving(until_the_end) as port, relay.published(port):
        status, head, body = await relay.ask()

    assert status == 200
    assert b"transfer-encoding: chunked" in head
    assert body == b"9\r\nall of it\r\n0\r\n\r\n"


async def test_the_answer_to_head_has_no_body(relay, echo):
    async with relay.published(echo):
        reader, writer = await relay.visit()
        writer.write(
            b"HEAD / HTTP/1.1\r\n"
            + HOST
            + b"\r\nGET /next HTTP/1.1\r\n"
            + HOST
            + b"Connection: close\r\n\r\n"
        )
        # This server sends one, against the rules: what follows is not taken for the next answer.
        said = await reader.read()
        writer.close()

    assert said.count(b"HTTP/1.1 ") - said.count(b" HTTP/1.1\r\nhost") == 1
    assert b"/next" not in said


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n"])
async def test_an_answer_that_never_begins_is_an_error(relay, cut):
    async def cutting(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)

    async with relay.serving(cutting) as port, relay.published(port):
        status, _, body = await relay.ask()

    assert status == 502
    assert b"tunnel_failed" in body


async def test_an_answer_that_is_cut_off_is_cut_off_for_the_visitor(relay):
    async def cutting(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    async with relay.serving(cutting) as port, relay.published(port):
        reader, writer = await relay.visit()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(100)
        writer.close()


async def test_large_bodies_flow_both_ways_at_once(relay, large):
    async with relay.published(large):
        reader, writer = await relay.visit()
        writer.write(
            b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % LARGE
        )

        async def send():
            for number in range(LARGE // 65536):
                writer.write(bytes([number % 251]) * 65536)
                await writer.drain()

        sending = asyncio.create_task(send())
        await reader.readuntil(b"\r\n\r\n")
        for number in range(LARGE // 65536):
            assert await reader.readexactly(65536) == bytes([number % 251]) * 65536
        await sending
        writer.close()


@pytest.fixture
async def large(relay):
    """A server that answers with the body, as it comes."""

    async def mirror(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        left = LARGE
        while left:
            piece = await reader.read(65536)
            left -= len(piece)
            writer.write(piece)
            await writer.drain()

    async with relay.serving(mirror) as port:
        yield port


async def test_a_visitor_who_does_not_read_stops_the_server_and_nobody_else(relay):
    """What is on the way is bounded: the server is stopped long before it has sent all."""
    sent, stopped = 0, asyncio.Event()

    async def pour(reader, writer):
        nonlocal sent
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/small" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            return
        writer.transport.set_write_buffer_limits(high=65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * LARGE))
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                stopped.set()
                await writer.drain()

    async with relay.serving(pour) as port, relay.published(port):
        reader, writer = await relay.visit()
        reader._transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await asyncio.wait_for(stopped.wait(), 20)
        assert sent < 64 * 1024 * 1024
        status, _, body = await relay.ask("/small")
        assert (status, body) == (200, b"hi")
        writer.transport.abort()


async def test_events_come_as_they_are_sent(relay):
    """Nothing waits for more."""
    go = asyncio.Event()

    async def events(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await reader.read()

    async with relay.serving(events) as port, relay.published(port):
        reader, writer = await relay.visit()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"first\r\n")
        go.set()
        assert await reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        writer.close()


async def test_a_websocket_goes_through(relay):
    async def mirror(socket):
        async for message in socket:
            await socket.send(message)

    async with serve(mirror, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with relay.published(port):
            where = {"host": "127.0.0.1", "port": relay.open.http_port}
            async with connect("ws://ann.links.test/ws", max_size=None, **where) as socket:
                for message in ("hello", os.urandom(3_000_000)):
                    await socket.send(message)
                    assert await socket.recv() == message


async def test_a_server_that_wants_no_websocket_says_so(relay, echo):
    lines = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
    async with relay.published(echo):
        said = await answer_of(relay, b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\nafter it")

    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"after it" not in said


async def test_what_is_sent_before_a_websocket_is_agreed_on_waits_with_its_sender(relay):
    """A laptop that does not answer must not fill the relay."""
    lines = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"

    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    async with (
        await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent,
        relay.published(silent.sockets[0].getsockname()[1]),
    ):
        _, writer = await relay.visit()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n" + bytes(LARGE))
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await writer.drain()
        finally:
            writer.transport.abort()


async def test_many_visitors_get_each_their_own_answer(relay, echo):
    """Over one connection of the laptop, whatever the order."""

    async def visit(number):
        reader, writer = await relay.visit()
        for turn in range(5):
            writer.write(b"GET /%d/%d HTTP/1.1\r\n" % (number, turn) + HOST + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            assert (await reader.readexactly(length)).startswith(b"GET /%d/%d HTTP/1.1" % (number, turn))
        writer.close()

    async with relay.published(echo):
        await asyncio.gather(*(visit(number) for number in range(100)))


class TestImpatience:
    """Visitors that are slow on purpose."""

    @pytest.fixture
    def settings(self, settings):
        return attrs.evolve(settings, head_s=0.3, idle_s=0.3, reach_s=0.3, answer_s=0.6)

    async def test_a_head_that_does_not_come_is_not_waited_for(self, relay, echo):
        async with relay.published(echo):
            said = await answer_of(relay, b"GET / HTTP/1.1\r\nHost: ann")

        assert said.startswith(b"HTTP/1.1 408 ")

    async def test_a_connection_that_says_nothing_is_closed(self, relay):
        assert await answer_of(relay, b"") == b""

    async def test_a_body_that_comes_drop_by_drop_is_not_waited_for(self, relay, echo):
        async with relay.published(echo):
            reader, writer = await relay.visit()
            writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")

            async def drip():
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            async with asyncio.timeout(10):
                said = await reader.read()
            dripping.cancel()
            writer.close()

        assert said.startswith(b"HTTP/1.1 408 ")

    async def test_an_answer_that_does_not_come_is_an_error(self, relay):
        async def silent(reader, writer):
            await reader.read()

        async with relay.serving(silent) as port, relay.published(port):
            status, _, _ = await relay.ask()

        assert status == 502


class TestLimits:
    """What one client's visitors may do."""

    async def test_they_may_ask_so_often(self, relay, echo):
        async with relay.published(echo, rate="2/h"):
            statuses = [(await relay.ask())[0] for _ in range(3)]
            _, head, _ = await relay.ask()

        assert statuses == [200, 200, 429]
        assert b"retry-after: 1" in head

    async def test_so_many_may_be_connected(self, relay, echo):
        async with relay.published(echo, max_connections=1):
            reader, writer = await relay.visit()
            writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            refused, _, _ = await relay.ask()
            writer.close()
            await relay.settled(lambda: relay.hall.traffic("ann").connections == 0)
            status, _, _ = await relay.ask()

        assert (refused, status) == (503, 200)

    async def test_so_many_bytes_may_flow(self, relay):
        """Read no faster than that: 300 KB at 100 KB/s, of which the first 100 may come at once."""

        async def pour(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
            await writer.drain()

        async with relay.serving(pour) as port, relay.published(port, bytes_s=100_000):
            start = asyncio.get_running_loop().time()
            _, _, body = await relay.ask()
            took = asyncio.get_running_loop().time() - start

        assert len(body) == 300_000
        assert took > 1

    async def test_so_many_names_may_be_published(self, relay, echo):
        from prism_core.plugin import PublicListener, TunnelRefused
        from prism_tunnel.relay.linker import RelayLinker

        join = relay.join("ann", names=("ann-*",), max_names=1)
        first, second = RelayLinker(join, "ann-1"), RelayLinker(join, "ann-2")
        await first.publish(PublicListener("127.0.0.1", echo))
        with pytest.raises(TunnelRefused, match="1 names at a time"):
            await second.publish(PublicListener("127.0.0.1", echo))
        await first.withdraw()
