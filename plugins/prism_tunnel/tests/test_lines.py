"""Connections that are not waited for, and not believed in, for longer than a person would."""

from __future__ import annotations

import asyncio
import socket

import asyncssh
import pytest

from prism_core.plugin import TunnelFailed
from prism_tunnel import lines
from prism_tunnel.lines import acknowledge_at_once, dial, give_up
from prism_tunnel.ssh.faults import fault_of


@pytest.fixture
def full():
    """The port of a server that takes nobody in: the first packet of a connection gets no answer."""
    with socket.socket() as server, socket.socket() as one, socket.socket() as another:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for waiting in (one, another):
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_who_does_not_answer_is_not_waited_for(full, monkeypatch):
    monkeypatch.setattr(lines, "DIAL_S", 0.05)
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await dial("127.0.0.1", full)


async def test_the_next_address_of_a_host_is_tried(full, monkeypatch):
    monkeypatch.setattr(lines, "DIAL_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (full, port)]

        async def addresses(*_, **__):
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
        with await dial("relay.example.org", 22) as made:
            assert made.getpeername() == ("127.0.0.1", port)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the option is Linux's")
async def test_a_connection_is_given_up_when_nothing_arrives():
    async def hold(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        give_up(writer, 4)
        found = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        writer.close()
        await writer.wait_closed()

    assert found == 4000


class Acknowledging:
    """A connection as asyncssh's, whose socket notes what it is told."""

    def __init__(self):
        self.told = []

    def get_extra_info(self, name):
        return self

    def setsockopt(self, *option):
        self.told.append(option)

    def _recv_data(self):
        self.told.append("read")


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="the option is Linux's")
def test_what_comes_is_acknowledged_before_it_is_read():
    connection = Acknowledging()
    acknowledge_at_once(connection)

    connection._recv_data()

    assert connection.told == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1), "read"]


def test_the_connections_of_asyncssh_are_as_we_know_them():
    """Else it would do nothing, and nobody would notice."""
    assert callable(asyncssh.SSHClientConnection._recv_data)


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionRefusedError(), socket.gaierror(-3, "later")])
def test_who_reached_nobody_says_so(error):
    found = fault_of(error, "relay.example.org:22")

    assert isinstance(found, TunnelFailed)
    assert found.details == {"reached": False}
