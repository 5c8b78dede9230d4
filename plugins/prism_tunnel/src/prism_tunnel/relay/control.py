"""A socket in the data directory, through which ``prism relay token`` tells the running relay to look.

Who may enter the directory may say so; nothing but "look again" can be said.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ANSWER_S = 5.0


@asynccontextmanager
async def listening(path: Path, look: Callable[[], int]) -> AsyncIterator[None]:
    """Call ``look`` for whoever asks, and answer with the number that it returns."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(16)
            writer.write(b"%d\n" % look())
            await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, path)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def poke(path: Path) -> int | None:
    """Have the relay look at its clients now; return how many connections it ended, None where none runs."""
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(ANSWER_S)
            control.connect(str(path))
            control.sendall(b"look\n")
            return int(control.recv(16))
    except (OSError, ValueError):
        return None
