"""How many bytecodes of ours a prediction runs through: ``python -m bench.bytecodes``.

Microseconds move with the machine; these do not. Counted as in `bench.budget`: the gateway from a request's
bytes to those of its answer; of the runtime what reads, computes and writes it. Libraries are not counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from bench import budget
from prism_core.rest.routing import Routes
from prism_core.runtime.session import Session
from prism_oip.media import PREFIX
from prism_oip.rest.dialect import DIALECT

ROOT = str(Path(__file__).parent.parent)
OURS = (f"{ROOT}/prism_core/", f"{ROOT}/plugins/")
# A second call finds what the first one has learned.
WARM, SHOWN = 3, 15


def count(call: Callable[[], object]) -> Counter[str]:
    """Return the bytecodes of one call by function, once it has been called some times."""
    for _ in range(WARM):
        call()
    found: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(OURS):
            return None
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            found[f"{code.co_filename.removeprefix(ROOT + '/')}:{code.co_qualname}"] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return found


async def main() -> None:
    """Count and print both sides, in PRISM's own words and in V2's with raw tensors."""
    with tempfile.TemporaryDirectory(prefix="prism-bytecodes-") as directory:
        session, bodies = budget.load(Path(directory))
    gateway = budget.Gateway(session)
    answer = b'{"model":"logistic","version":1,"predictions":[0]}'
    connection = gateway.connection(routes=Routes([DIALECT]))
    show("gateway, PRISM's JSON", count(asking(gateway, connection, budget.request(bodies[0]), answer)))
    headers, body = raw_request(session, bodies[0])
    show(
        "gateway, V2 binary",
        count(asking(gateway, connection, posted(headers, body), PREFIX.pack(0, 0) + answer)),
    )
    view, media_type = memoryview(body), DIALECT.read(headers)
    show("runtime, PRISM's JSON", count(computing(session, memoryview(bodies[0]), "", "")))
    show("runtime, V2 binary", count(computing(session, view, media_type, DIALECT.accept)))


def asking(gateway: budget.Gateway, connection: Any, data: bytes, answer: bytes) -> Callable[[], object]:
    """Return a call of the gateway, up to a replica that answers at once."""

    def ask() -> None:
        connection.data_received(data)
        gateway.client._flush()
        gateway.client.data_received(gateway.reply(answer))

    return ask


def computing(session: Session, body: memoryview, media_type: str, accept: str) -> Callable[[], object]:
    """Return what the runtime does with one request alone, without its queue."""

    def compute() -> None:
        batch = session.read(body, media_type, "", accept)
        session.write(session.execute([batch]), accept, "", batch.reply)

    return compute


def raw_request(session: Session, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the same row as V2 with raw tensors."""
    rows = np.array(json.loads(body)["input"], "<f8")
    told = {"name": session.signature.inputs[0].name, "shape": rows.shape, "datatype": "FP64"}
    head = json.dumps({"inputs": [told | {"parameters": {"binary_data_size": rows.nbytes}}]}).encode()
    return {"inference-header-content-length": str(len(head))}, head + rows.tobytes()


def posted(headers: dict[str, str], body: bytes) -> bytes:
    """Return a request with these headers, as wrk sends it."""
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v2/models/logistic/infer HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{said}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def show(name: str, found: Counter[str]) -> None:
    """Print the sum, and who has most of it."""
    print(f"{name}: {found.total():,}")
    for function, bytecodes in found.most_common(SHOWN):
        print(f"  {bytecodes:5,}  {function}")


if __name__ == "__main__":
    asyncio.run(main())
