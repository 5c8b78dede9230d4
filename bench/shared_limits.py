"""How well several servers hold one limit: ``python -m bench.shared_limits``.

Each way of sharing is asked through several connections as fast as it answers for ten
seconds, and what came in is compared with ``burst + rate * t``. Needs redis-server.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prism_core.testing.server import ServerProcess

RATE, BURST, SECONDS, CONNECTIONS = 500, 50, 10.0, 8
CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {"Paris": 3.0}}
BODY = b'[{"city":"Paris"}]'
REQUEST = (
    b"POST /model/cities/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
LENGTH = re.compile(rb"content-length: (\d+)")


async def ask(host: str, port: int, until: float) -> tuple[int, int]:
    """Ask through one connection until then; return how many came in, and how many were refused."""
    reader, writer = await asyncio.open_connection(host, port)
    came_in = refused = 0
    while time.monotonic() < until:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(head)
        assert found
        await reader.readexactly(int(found[1]))
        came_in += head.startswith(b"HTTP/1.1 200")
        refused += head.startswith(b"HTTP/1.1 429")
    writer.close()
    return came_in, refused


async def load(servers: Sequence[ServerProcess]) -> str:
    """Ask all of them at once; return a row of the table."""
    addresses = [server.url.removeprefix("http://").split(":") for server in servers]
    each = CONNECTIONS // len(addresses)
    begun = time.monotonic()
    asking = [ask(h, int(p), begun + SECONDS) for h, p in addresses for _ in range(each)]
    outcomes = await asyncio.gather(*asking)
    took_s = time.monotonic() - begun
    came_in, refused = (sum(column) for column in zip(*outcomes, strict=True))
    most = BURST + RATE * took_s
    return f"{came_in} | {most:.0f} | {100 * (came_in / most - 1):+.2f} % | {refused}"


@contextmanager
def serving(directory: Path, count: int, *flags: str, **rates: str) -> Iterator[list[ServerProcess]]:
    """Run so many servers with a model and a limit on it."""
    directory.mkdir()
    artifact = directory / "cities.lookup.json"
    artifact.write_text(json.dumps(CITIES))
    config = {
        "models": {"cities": {"path": str(artifact), "loader": "lookup"}},
        "rates": {"model": f"{RATE}/s burst {BURST}", **rates},
        "plugins": {"redis": {"url": f"unix://{directory.parent}/redis.sock", "namespace": "bench"}},
    }
    with ExitStack() as stack:
        servers = [ServerProcess(directory / str(n), *flags, config=json.dumps(config)) for n in range(count)]
        yield [stack.enter_context(server) for server in servers]


@contextmanager
def redis(directory: Path) -> Iterator[None]:
    """Run a Redis of our own."""
    command = ["redis-server", "--port", "0", "--unixsocket", str(directory / "redis.sock"), "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if "ready to accept" in line.lower():
            break
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Measure each way and print a table."""
    print(f"{RATE}/s burst {BURST}, {CONNECTIONS} connections, {SECONDS:g} s")
    print("| | came in | limit | off by | refused |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="prism-") as name, redis(Path(name)):
        ways = (
            ("one gateway", 1, (), {}),
            ("two gateways of one server", 1, ("--gateways", "2"), {}),
            ("two servers, Redis", 2, (), {"store": "redis"}),
            ("two servers of two gateways, Redis", 2, ("--gateways", "2"), {"store": "redis"}),
            ("two servers that share nothing", 2, (), {}),
        )
        for number, (title, count, flags, rates) in enumerate(ways):
            with serving(Path(name) / str(number), count, *flags, **rates) as servers:
                time.sleep(3.0)  # the models are loaded then
                print(f"| {title} | {asyncio.run(load(servers))} |", flush=True)


if __name__ == "__main__":
    main()
