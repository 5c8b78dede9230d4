"""What carries a relay's visitors best: a channel of one SSH connection each, or a websocket each.

    .venv/bin/python -m bench.relay_transports

Both only pass bytes on, over loopback, encrypted (aes128-gcm; TLS 1.3), with uvloop; four processes on this
machine: visitors, the relay, the laptop, its server. *prism relay* is `prism relay serve`, which reads HTTP
as well. Takes about half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import platform
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import asyncssh
import uvloop
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from prism_core.plugin import PublicListener, TunnelFailed
from prism_tunnel.relay import clients
from prism_tunnel.relay.hall import RelaySettings
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.linker import RelayLinker
from prism_tunnel.relay.serving import Place, open_relay

REQUEST = b"GET /s/bench HTTP/1.1\r\nHost: ann.links.test\r\n\r\n"
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"x" * 64
BULK = 128 * 1024 * 1024
PIECE = 64 * 1024
SSH, HTTP, ORIGIN = 0, 1, 2


class Origin(asyncio.Protocol):
    """Answers a request with little, one for /bulk with a lot."""

    def connection_made(self, transport):
        self.transport, self.writable = transport, asyncio.Event()
        self.writable.set()

    def data_received(self, data):
        if b" /bulk " in data:
            self.task = asyncio.ensure_future(self.pour())
        else:
            self.transport.write(SMALL * data.count(b"\r\n\r\n"))

    async def pour(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BULK)
        for _ in range(BULK // PIECE):
            self.transport.write(b"x" * PIECE)
            await self.writable.wait()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()


async def origin(ports, _):
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", ports[ORIGIN])
    await server.serve_forever()


async def pump(read, write):
    with contextlib.suppress(OSError, asyncssh.Error, websockets.ConnectionClosed):
        while data := await read():
            await write(data)


async def both(*ways):
    """Pass bytes on until one way has ended."""
    tasks = [asyncio.ensure_future(pump(*way)) for way in ways]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def of_stream(reader, writer):
    """Return what reads and what writes a stream."""

    async def write(data):
        writer.write(data)
        await writer.drain()

    return lambda: reader.read(PIECE), write


class Publisher(asyncssh.SSHServer):
    """A laptop's connection."""

    known = None

    def connection_made(self, conn):
        Publisher.known = conn

    def begin_auth(self, username):
        return False

    def server_requested(self, host, port):
        return asyncssh.SSHListener()


async def ssh_relay(ports, directory):
    """Open a channel for each visitor."""

    async def visitor(reader, writer):
        inward, outward = await Publisher.known.open_connection("ann", 80)
        await both(
            (of_stream(reader, writer)[0], of_stream(inward, outward)[1]),
            (of_stream(inward, outward)[0], of_stream(reader, writer)[1]),
        )
        outward.close()
        writer.close()

    await asyncssh.create_server(
        Publisher, "127.0.0.1", ports[SSH], server_host_keys=[f"{directory}/key.pem"],
        encryption_algs=["aes128-gcm@openssh.com"], compression_algs=None,
    )  # fmt: skip
    server = await asyncio.start_server(visitor, "127.0.0.1", ports[HTTP], limit=PIECE)
    await server.serve_forever()


async def ssh_laptop(ports, _):
    connection = await asyncssh.connect(
        "127.0.0.1", ports[SSH], known_hosts=None, username="ann", config=None,
        encryption_algs=["aes128-gcm@openssh.com"], compression_algs=None,
    )  # fmt: skip
    await connection.forward_remote_port("ann", 80, "127.0.0.1", ports[ORIGIN])
    await connection.wait_closed()


async def ws_relay(ports, directory):
    """Ask the laptop, for each visitor, to come with another websocket."""
    waiting, numbers, control = {}, itertools.count(), asyncio.get_running_loop().create_future()

    async def visitor(reader, writer):
        number = str(next(numbers))
        waiting[number] = asyncio.get_running_loop().create_future()
        await (await asyncio.shield(control)).send(number)
        socket, done = await waiting[number]
        del waiting[number]
        read, write = of_stream(reader, writer)
        await both((read, socket.send), (socket.recv, write))
        done.set()
        writer.close()

    async def laptop(socket):
        number = socket.request.path[1:]
        if number == "control":
            control.set_result(socket)
            await socket.wait_closed()
        else:
            done = asyncio.Event()
            waiting[number].set_result((socket, done))
            await done.wait()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    server = await asyncio.start_server(visitor, "127.0.0.1", ports[HTTP], limit=PIECE)
    async with serve(laptop, "127.0.0.1", ports[SSH], ssl=context, compression=None):
        await server.serve_forever()


async def ws_laptop(ports, directory):
    context = ssl.create_default_context(cafile=f"{directory}/cert.pem")
    context.check_hostname = False
    url, tasks = f"wss://127.0.0.1:{ports[SSH]}", set()

    async def carry(number):
        async with connect(f"{url}/{number}", ssl=context, compression=None) as socket:
            read, write = of_stream(*await asyncio.open_connection("127.0.0.1", ports[ORIGIN]))
            await both((read, socket.send), (socket.recv, write))

    async with connect(f"{url}/control", ssl=context) as control:
        async for number in control:
            task = asyncio.ensure_future(carry(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def own_relay(ports, directory):
    place = Place(Path(directory, "relay"))
    digest = clients.digest_of("token")
    clients.add(place.clients, clients.Client("ann", digest, (), ("ann",), "", 0, 0, 0, 0.0, 0.0))
    settings = RelaySettings(
        "links.test", host="127.0.0.1", ssh_port=ports[SSH], http_port=ports[HTTP], https_port=None
    )
    async with open_relay(settings, place) as relay:
        Path(directory, "fingerprint").write_text(relay.fingerprint)
        await asyncio.Event().wait()


async def own_laptop(ports, directory):
    fingerprint = Path(directory, "fingerprint").read_text()  # OSError until it is written
    linker = RelayLinker(Join("127.0.0.1", ports[SSH], "ann", "token", fingerprint), "ann")
    await linker.publish(PublicListener("127.0.0.1", ports[ORIGIN]))
    await linker.broken()


def run(role, ports, directory):
    while True:  # until what it connects to is there
        with contextlib.suppress(OSError, TunnelFailed):
            uvloop.run(role(ports, directory))
        time.sleep(0.05)


@contextlib.contextmanager
def running(role, ports, directory):
    process = multiprocessing.get_context("spawn").Process(target=run, args=(role, ports, directory))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


async def ask(reader, writer, request=REQUEST):
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(64)
    return head


async def keep_alive(port, seconds):
    """Return the time of each request on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        await ask(reader, writer)
        times.append(time.perf_counter() - start)
    writer.close()
    return times


async def new_connections(port, seconds):
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        times.append(time.perf_counter() - start)
        writer.close()
    return times


async def bulk(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    start, got = time.perf_counter(), 0
    writer.write(REQUEST.replace(b"/s/bench", b"/bulk"))
    await reader.readuntil(b"\r\n\r\n")
    while got < BULK:
        got += len(await reader.read(1 << 20))
    writer.close()
    return BULK / (time.perf_counter() - start) / 1e6


async def measured(port):
    for _ in range(200):
        try:
            async with asyncio.timeout(5):
                await keep_alive(port, 0.2)
            break
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.05)
    one = statistics.median(await keep_alive(port, 2)) * 1e6
    new = statistics.median(await new_connections(port, 2)) * 1e6
    many = sum(map(len, await asyncio.gather(*(keep_alive(port, 2) for _ in range(16))))) / 2
    return one, new, many, max([await bulk(port) for _ in range(2)])


def free_ports():
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main():
    ways = {
        "direct": (),
        "SSH channels": (ssh_relay, ssh_laptop),
        "websockets": (ws_relay, ws_laptop),
        "prism relay": (own_relay, own_laptop),
    }
    print(f"{platform.python_version()}, {os.cpu_count()} cores, asyncssh {asyncssh.__version__}, "
          f"websockets {websockets.__version__}")  # fmt: skip
    print("| | p50, kept connection us | p50, new connection us | requests/s, 16 connections | bulk MB/s |")
    for name, roles in ways.items():
        ports = free_ports()
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
            words = (
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=relay"
            )
            words += " -keyout key.pem -out cert.pem"
            subprocess.run(words.split(), cwd=directory, check=True, capture_output=True)
            os.chmod(f"{directory}/key.pem", 0o600)
            for role in (origin, *roles):
                stack.enter_context(running(role, ports, directory))
                time.sleep(0.3)
            time.sleep(1.5)
            one, new, many, rate = uvloop.run(measured(ports[HTTP] if roles else ports[ORIGIN]))
        print(f"| {name} | {one:.0f} | {new:.0f} | {many:.0f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
