"""Packets of an SSH connection, packed into few writes."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from prism_tunnel.packing import DISCONNECT, ENOUGH_BYTES, IGNORE, Packer, pack

DATA = 94


class Transport:
    """Keeps what is written."""

    def __init__(self):
        self.writes = []

    def is_closing(self):
        return False

    def writelines(self, pieces):
        self.writes.append(b"".join(pieces))


class Connection:
    """Sends as asyncssh does: an empty packet before each, and each by itself."""

    def __init__(self):
        self._transport = Transport()

    def send_packet(self, kind, *parts, handler=None):
        if kind != IGNORE:
            self.send_packet(IGNORE)
        self._send(b"%d:%b " % (kind, b"".join(parts)))

    def _send(self, data):
        self._transport.writelines([data])

    @property
    def writes(self):
        return self._transport.writes


@pytest.fixture
async def connection():
    made = Connection()
    pack(made)
    return made


async def test_all_packets_of_a_turn_are_one_write(connection):
    connection.send_packet(DATA, b"one")
    connection.send_packet(DATA, b"two")
    assert connection.writes == []
    await asyncio.sleep(0)
    connection.send_packet(DATA, b"three")
    await asyncio.sleep(0)

    assert connection.writes == [b"94:one 94:two ", b"94:three "]


async def test_much_is_written_at_once(connection):
    connection.send_packet(DATA, b"x" * ENOUGH_BYTES)

    assert len(connection.writes) == 1


async def test_a_farewell_does_not_wait(connection):
    """The transport is closed right behind it."""
    connection.send_packet(DATA, b"last")
    connection.send_packet(DISCONNECT, b"")

    assert connection.writes == [b"94:last 1: "]


async def test_a_connection_that_we_do_not_know_is_left_as_it_is():
    other = Connection()
    del other._transport
    pack(other)

    assert vars(other) == {}


async def test_everything_arrives_in_order():
    """Through a real server and a real client, many channels at once, both packed."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    bodies = [bytes([number]) * 200_000 for number in range(8)]

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn):
            pack(conn)

        def begin_auth(self, username):
            return False

        def connection_requested(self, *where):
            return echo

    async def echo(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def through(client, body):
        reader, writer = await client.open_connection("echo", 1)
        writer.write(body)
        writer.write_eof()
        return await reader.read()

    async with await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key]) as server:
        options = {"known_hosts": None, "config": None, "username": "x", "client_keys": None}
        async with asyncssh.connect("127.0.0.1", server.get_port(), **options) as client:
            pack(client)
            assert isinstance(client.send_packet.__self__, Packer), "asyncssh is as we know it"
            answers = await asyncio.gather(*(through(client, body) for body in bodies))

    assert answers == bodies
