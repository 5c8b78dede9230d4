"""Many laptops in one process, for `bench.tunnels`: ``python -m bench.laptops < joins``.

Each line of the input is a join string of PRISM's relay. For each there are a connection and a server of
its own, which answers as a model does that multiplies by the line's number. Prints how many seconds it took
until all were published, and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from prism_core.plugin import PublicListener
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.linker import RelayLinker

# A relay lets so many of one address log in at a time, and a few more.
AT_ONCE = 8


class Answer(asyncio.Protocol):
    """Multiplies the number of a small JSON body by ``factor``."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._held = b""

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if not end or len(body) < length:
            return
        self._held = body[length:]
        number = json.loads(body[:length])["input"][0][0]
        answer = json.dumps({"predictions": [number * self._factor]}).encode()
        told = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        self._transport.write(told % (len(answer), answer))


async def publish(text: str, factor: int, few: asyncio.Semaphore) -> tuple[asyncio.Server, RelayLinker]:
    """Bring one laptop up; it is there as long as what is returned."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(factor), "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    join = Join.parse(text)
    linker = RelayLinker(join, join.client)
    async with few:
        await linker.publish(PublicListener("127.0.0.1", port))
    return server, linker


async def main() -> None:
    """Bring all up, and wait."""
    joins = iter(sys.stdin.readline, "\n")
    few, begun = asyncio.Semaphore(AT_ONCE), time.perf_counter()
    kept = await asyncio.gather(*(publish(text, number, few) for number, text in enumerate(joins, 1)))
    print(time.perf_counter() - begun, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    del kept


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
