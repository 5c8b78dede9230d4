"""The gateway half of the two-process ceiling: ``MODEL=logistic.pkl uvicorn front:app``.

Starts `back` on a Unix socket and passes each body to it: length-prefixed frames, one write
a turn of the event loop. No routing, guards, cache, deadline, limit, metric or restart: the
best that simple code of this architecture does, and what PRISM's features are measured against.
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

FRAME = struct.Struct("<II")  # the call's number, the body's length
JSON = (b"content-type", b"application/json")


class Back(asyncio.Protocol):
    """The connection to the second process, with many calls in flight."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._waiting = {}
        self._out = []
        self._last = 0
        self._rest = b""

    def ask(self, body):
        """Return a future of the answer to ``body``."""
        self._last = call = (self._last + 1) & 0xFFFFFFFF
        future = self._waiting[call] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += (FRAME.pack(call, len(body)), body)
        return future

    def _flush(self):
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        data, at = self._rest + data if self._rest else data, 0
        while len(data) - at >= FRAME.size:
            call, length = FRAME.unpack_from(data, at)
            end = at + FRAME.size + length
            if end > len(data):
                break
            self._waiting.pop(call).set_result(data[at + FRAME.size : end])
            at = end
        self._rest = data[at:]


back: Back


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    answer = await back.ask(body)
    headers = [JSON, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def lifespan(receive, send):
    """Run the second process for as long as the server runs."""
    await receive()
    with tempfile.TemporaryDirectory() as directory:
        process = await start(f"{directory}/s")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        process.terminate()
        await process.wait()
    await send({"type": "lifespan.shutdown.complete"})


async def start(path):
    """Start the second process, wait until it listens, and connect to it."""
    global back
    command = [sys.executable, Path(__file__).with_name("back.py"), os.environ["MODEL"], path]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    await process.stdout.readline()
    _, back = await asyncio.get_running_loop().create_unix_connection(Back, path)
    return process
