"""How many bytecodes of ours a prediction runs through: ``python -m bench.bytecodes``.

Microseconds move with the machine; these do not. Counted as in `bench.budget`: the gateway from a request's
bytes to those of its answer, the runtime from frames to frames, alone. Libraries are not counted, nor is C.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bench import budget

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
    """Count and print both sides."""
    with tempfile.TemporaryDirectory(prefix="prism-bytecodes-") as directory:
        session, bodies = budget.load(Path(directory))
    gateway = budget.Gateway(session)
    connection, data = gateway.connection(), budget.request(bodies[0])
    answer = b'{"model":"logistic","version":1,"predictions":[0]}'

    def ask() -> None:
        connection.data_received(data)
        gateway.client._flush()
        gateway.client.data_received(gateway.reply(answer))

    show("gateway", count(ask))


def show(name: str, found: Counter[str]) -> None:
    """Print the sum, and who has most of it."""
    print(f"{name}: {found.total():,}")
    for function, bytecodes in found.most_common(SHOWN):
        print(f"  {bytecodes:5,}  {function}")


if __name__ == "__main__":
    asyncio.run(main())
