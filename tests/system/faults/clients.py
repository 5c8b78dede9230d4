"""Clients that do nothing, little, or not what they should, beside others that are served."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx

from tests.system.faults.load import loading
from tests.system.faults.scene import Seen, all_answered, scenes
from tests.system.faults.stage import Server, Stage

IDLE = 10_000
# What this process and the server need beside those connections.
SPARE = 2048
CHUNK = 64 * 1024
# Descriptors of a server that has few.
FEW = 256


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@contextmanager
def descriptors(count: int) -> Iterator[int]:
    """Allow this process and those that it starts so many descriptors, or as many as there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(count, hard) if hard != resource.RLIM_INFINITY else count
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    try:
        yield max(soft, allowed)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def connections(url: str, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open many connections, some hundred at a time."""
    made = []
    for begun in range(0, count, 200):
        some = (asyncio.open_connection(*address(url)) for _ in range(min(200, count - begun)))
        made += await asyncio.gather(*some)
    return made


async def idle_connections(stage: Stage) -> Seen:
    with descriptors(IDLE + SPARE) as allowed, stage.serving() as server:
        url = server.send(stage.faulty("calm", factor=2))
        async with loading(url, 2) as load:
            await load.steadily(300, 0.3)
            count = min(IDLE, allowed - SPARE)
            made = await connections(server.url, count)
            before = server.processes()[0].cpu_times()
            await asyncio.sleep(0.3)
            after = server.processes()[0].cpu_times()
            await load.steadily(300, 1.0)
            await load.end()
            seen = all_answered(load)
        idle_share = (after.user + after.system - before.user - before.system) / 0.3
        memory = server.processes()[0].memory_info().rss / 2**20
        for _, writer in made:
            writer.close()
    assert idle_share < 0.5
    return Seen(f"{seen}, beside {count:,} idle connections; the gateway has {memory:.0f} MB")


def head(url: str, length: int) -> bytes:
    return f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


async def one_byte_a_second(stage: Stage) -> Seen:
    """Both in the head and in the body; the time-outs of the settings end them."""
    with stage.serving(config="limits: {head_s: 2, body_s: 2}") as server:
        url = server.send(stage.faulty("patient", factor=2))
        async with loading(url, 2) as load:
            load.begin(100)
            slow = [drip(url, b""), drip(url, head(url, 100))]
            begun = time.monotonic()
            answers = await asyncio.gather(*slow)
            seconds = time.monotonic() - begun
            await load.end()
            seen = all_answered(load)
    assert answers == ["408", "408"], answers
    return Seen(f"the slow ones: 408 after {seconds:.1f} s (settings `head_s`, `body_s`); {seen}")


async def drip(url: str, begun: bytes) -> str:
    """Send one byte a second behind ``begun``; return the status of the answer."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(begun)
    answer = asyncio.ensure_future(reader.read(100))
    for byte in b"POST / HTTP/1.1":
        writer.write(bytes([byte]))
        await asyncio.wait({answer}, timeout=1)
        if answer.done():
            break
    writer.close()
    return (await answer)[9:12].decode()


async def never_reads(stage: Stage) -> Seen:
    """It asks for large answers and takes none; nobody else waits, and memory stays bounded."""
    with stage.serving(config="limits: {write_s: 2}") as server:
        url = server.send(stage.faulty("deaf", factor=2), batching={"max_batch_rows": 100_000})
        body = b'{"input": [' + b"[1.25]," * 100_000 + b"[1.25]]}"
        answer = await asyncio.to_thread(httpx.post, url, content=body, timeout=20)
        assert (answer.status_code, len(answer.content) > 4 * CHUNK) == (200, True)
        async with loading(url, 2) as load:
            load.begin(100)
            deaf = socket.create_connection(address(url))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sending = asyncio.create_task(asyncio.to_thread(pour, deaf, head(url, len(body)) + body))
            sent, seconds = await sending
            deaf.close()
            await load.end()
            seen = all_answered(load)
            memory = server.processes()[0].memory_info().rss / 2**20
    assert memory < 400, memory
    return Seen(
        f"the deaf one: cut off after {seconds:.1f} s (setting `write_s`) and {sent} requests; {seen}; "
        f"the gateway has {memory:.0f} MB"
    )


def pour(deaf: socket.socket, request: bytes) -> tuple[int, float]:
    """Send requests without reading until the connection breaks; return how many, and for how long."""
    begun, sent = time.monotonic(), 0
    deaf.settimeout(20)
    with suppress(ConnectionError):
        while sent < 200:
            deaf.sendall(request)
            sent += 1
    assert sent < 200, "whoever reads nothing may send without end"
    return sent, time.monotonic() - begun


async def no_descriptors(stage: Stage) -> Seen:
    """More connections than the server may have descriptors: others are served as before."""
    few = ("sh", "-c", f'ulimit -n {FEW}; exec "$0" "$@"')
    with stage.serving(prefix=few) as server:
        url = server.send(stage.faulty("few", factor=2))
        async with loading(url, 2) as load:
            load.begin(100)
            made = await connections(server.url, 2 * FEW)
            closed = await ends(made, FEW)
            server.send(stage.faulty("more", factor=2))  # descriptors are left for the owner
            held = len(server.processes()[0].open_files()) + len(server.processes()[0].net_connections("all"))
            for _, writer in made:
                writer.close()
            await load.end()
            seen = all_answered(load)
    assert held < FEW
    return Seen(f"{closed} of {2 * FEW} idle newcomers are closed; {seen}; uploads go on")


async def ends(made: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], least: int) -> int:
    """Return how many connections the other side has ended, as soon as there are ``least``."""
    reading = [asyncio.ensure_future(reader.read(1)) for reader, _ in made]
    async with asyncio.timeout(20):
        while (ended := sum(one.done() for one in reading)) < least:
            await asyncio.sleep(0.01)
    for one in reading:
        one.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return ended


async def cut_uploads(stage: Stage) -> Seen:
    """Of an upload that ends early nothing is kept, wherever it ends; the next one is taken."""
    server = stage.common()
    content = b'{"factor": 3}' + b" " * (10 * CHUNK)
    for size in range(0, len(content), CHUNK):
        await cut(server, content, size)
    path = stage.directory / "cut.faulty"
    path.write_bytes(content)
    begun = time.monotonic()
    left = artifacts(server)
    while left["incoming"]:
        assert time.monotonic() < begun + 10, left
        await asyncio.sleep(0.02)
        left = artifacts(server)
    url = server.send(path)
    assert artifacts(server)["sha256"] == left["sha256"] + 1
    async with loading(url, 3) as load:
        assert (await load.answer()).right
    assert [one["version"] for one in server.model("cut")["versions"]] == [1]
    return Seen(
        f"of {len(content) // CHUNK + 1} uploads that end early nothing is left; the next is version 1"
    )


async def cut(server: Server, content: bytes, size: int) -> None:
    """Begin an upload, and hang up when ``size`` bytes have gone."""
    token = (server.data_dir / "admin-token").read_text().strip()
    spec = '{"filename":"cut.faulty"}'.replace('"', "%22")
    begun = (
        f"POST /admin/v1/upload?spec={spec} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode()
    _, writer = await asyncio.open_connection(*address(server.facts["admin"]))
    writer.write(begun + content[:size])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def artifacts(server: Server) -> Counter[str]:
    """Count what lies in the store, by how its name begins."""
    return Counter(one.name.split("-")[0] for one in (server.data_dir / "artifacts").iterdir())


SCENES = scenes(
    ("10,000 idle connections", idle_connections, "slow"),
    ("clients that send one byte a second", one_byte_a_second, "slow"),
    ("a client that never reads", never_reads, "slow"),
    ("file descriptors exhausted", no_descriptors, "slow"),
    ("an upload that is cut, at every 64 KiB", cut_uploads),
)
