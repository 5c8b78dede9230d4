"""A container's log as Podman writes it: a time, a stream and a mark before each piece of a line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from prism_core.plugin import read_log


async def lines(directory: Path, tail: int, follow: bool) -> AsyncIterator[str]:
    """Yield the last lines of a replica's log as it wrote them, and with ``follow`` those to come."""
    begun: list[str] = []
    async for line in read_log(directory, tail, follow):
        whole, text = parsed(line)
        begun.append(text)
        if whole:
            yield "".join(begun)
            begun.clear()
    if begun:
        yield "".join(begun)


def parsed(line: str) -> tuple[bool, str]:
    """Return whether a line of the log ends one of the replica's, and what the replica wrote.

    ``2026-11-26T17:31:40.614040566+00:00 stdout P text``: P for a piece, F for the end of a line.
    """
    fields = line.split(" ", 3)
    if len(fields) < 3 or fields[1] not in ("stdout", "stderr") or fields[2] not in ("P", "F"):
        return True, line
    return fields[2] == "F", fields[3] if len(fields) == 4 else ""
