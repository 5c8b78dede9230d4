"""Send requests over several connections, many in one piece, and judge each answer.

A server may close a connection after an answer that says so; what was sent behind it is sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs

from tests.hostile.requests import Case

CONNECTIONS = 8
# Sent in one piece: enough that the server reads several at once, few enough that its buffers take all.
PIECE = 16
ANSWER_S = 60.0


@attrs.define
class Verdicts:
    """What became of the requests: how many had which status, by how they were spoilt; and what is wrong."""

    statuses: Counter[int] = attrs.field(factory=Counter)
    kinds: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)
    unanswered: set[int] = attrs.field(factory=set)

    def judge(self, case: Case, status: int, body: bytes) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.kinds[case.kind, status] += 1
        if not (400 <= status < 500 or (status == 200 and not case.wrong)):
            self.faults.append(f"{status} {body[:500]!r} to {case}")

    def miss(self, case: Case, error: Exception) -> bool:
        """Note that a connection ended before an answer; return whether to ask once more.

        A refusal may be lost where its connection is closed with bytes in it that nobody has read.
        """
        if case.number not in self.unanswered:
            self.unanswered.add(case.number)
            return True
        self.faults.append(f"no answer ({error!r}) to {case}")
        return False


async def send(url: str, cases: Sequence[Case], connections: int = CONNECTIONS) -> Verdicts:
    """Send all cases, and return what became of them."""
    verdicts, queue = Verdicts(), list(reversed(cases))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(_connection(url, queue, verdicts))
    return verdicts


async def _connection(url: str, queue: list[Case], verdicts: Verdicts) -> None:
    parts = urlsplit(url)
    waiting: list[Case] = []
    while queue or waiting:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while queue or waiting:
                waiting += [queue.pop() for _ in range(min(len(queue), PIECE - len(waiting)))]
                if not await _piece(reader, writer, waiting, verdicts):
                    break
        finally:
            writer.transport.abort()


async def _piece(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[Case], verdicts: Verdicts
) -> bool:
    """Send what waits and take its answers off it; return whether the connection goes on."""
    for case in waiting:
        writer.write(case.raw())
    while waiting:
        case = waiting[0]
        try:
            async with asyncio.timeout(ANSWER_S):
                status, body, last = await _answer(reader, case.method == "HEAD")
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            if not verdicts.miss(case, error):
                del waiting[0]
            return False
        verdicts.judge(case, status, body)
        del waiting[0]
        if last:
            return False
    return True


async def _answer(reader: asyncio.StreamReader, empty: bool) -> tuple[int, bytes, bool]:
    """Return status and body, and whether the server says that it closes the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    length = 0 if empty else int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    return status, body, b"\r\nconnection: close\r\n" in head
