"""The model's half of the two-process ceiling: ``python back.py MODEL SOCKET``; see `front`.

All frames that one read brings are one batch: while the model computes, the next ones gather
in the socket.
"""

from __future__ import annotations

import asyncio
import gc
import struct
import sys

import msgspec
import numpy as np
import uvloop
from predictor import load

FRAME = struct.Struct("<II")


class Request(msgspec.Struct):
    """The body of a request."""

    input: list[list[float]]


class Front(asyncio.Protocol):
    """The one connection: a read is a batch, a batch is a write."""

    def __init__(self, predict):
        self._predict = predict
        self._decode = msgspec.json.Decoder(Request).decode
        self._rest = b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        data, at = self._rest + data if self._rest else data, 0
        view = memoryview(data)
        calls, rows = [], []
        while len(data) - at >= FRAME.size:
            call, length = FRAME.unpack_from(data, at)
            end = at + FRAME.size + length
            if end > len(data):
                break
            found = self._decode(view[at + FRAME.size : end]).input
            calls.append((call, len(found)))
            rows += found
            at = end
        self._rest = data[at:]
        if calls:
            self._answer(calls, self._predict(np.array(rows)).tolist())

    def _answer(self, calls, labels):
        out, at = [], 0
        for call, count in calls:
            body = b'{"predictions":%b}' % msgspec.json.encode(labels[at : at + count])
            out += (FRAME.pack(call, len(body)), body)
            at += count
        self._transport.write(b"".join(out))


async def serve(model, path):
    predict = load(model)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Front(predict), path)
    gc.freeze()
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
