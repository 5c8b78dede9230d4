"""Large bodies are received into their own memory over TLS too, with either event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

from prism_core.filling import Filling
from prism_core.rest.serve import loop_factory
from prism_core.rest.tls.context import Pair, context_of

from .conftest import make_certificate, trusting

HEAD = b"head"


class Receiver(asyncio.Protocol):
    """Takes four bytes, then a large body, as often as it comes; says what it got."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lost = asyncio.Event()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, error) -> None:
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        assert data.startswith(HEAD)
        Filling(self.transport, self, data[len(HEAD) :], self.size, self.filled)

    def filled(self, body: memoryview) -> None:
        self.transport.write(b"%d %d\n" % (len(body), sum(body[:: self.size // 100])))


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, loop_factory()], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [300_000, 5_000_000])
def test_bodies_come_whole_and_the_connection_goes_on(tmp_path, new_loop, size):
    make_certificate(tmp_path / "cert.pem", tmp_path / "cert.key")
    context = context_of(Pair(tmp_path / "cert.pem", tmp_path / "cert.key"))
    body = bytes(n % 251 for n in range(size))
    expected = b"%d %d\n" % (size, sum(body[:: size // 100]))
    ours, theirs = socket.create_server(("127.0.0.1", 0)), trusting(tmp_path / "cert.pem")
    answers: list[bytes] = []
    client = threading.Thread(target=talk, args=(ours.getsockname(), theirs, HEAD + body, answers))

    async def serve() -> None:
        client.start()
        connection, _ = await asyncio.to_thread(ours.accept)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        receiver = Receiver(size)
        await loop.connect_accepted_socket(lambda: receiver, connection, ssl=context)
        await asyncio.to_thread(client.join)
        await receiver.lost.wait()

    with ours, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(serve(), 30))

    assert answers == [expected] * 3


def talk(address, context: ssl.SSLContext, request: bytes, answers: list[bytes]) -> None:
    with (
        socket.create_connection(address, timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        for _ in range(3):
            connection.sendall(request)
            answers.append(connection.makefile("rb").readline())
