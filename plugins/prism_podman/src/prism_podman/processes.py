"""A container's processes as this machine sees them: their end, their identity, what they use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from prism_core.plugin import Usage

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def started(pid: int) -> float:
    """Return when a process was started, in Unix seconds.

    Raises
    ------
    OSError
        If there is none of that number, or none that can be seen.
    """
    boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + int(_stat(pid)[19]) / _TICKS_PER_S


def usage(pid: int) -> Usage | None:
    """Add up what a process and its children use, None when it is gone."""
    memory, ticks, found = 0, 0, False
    for one in family(pid):
        with suppress(OSError):
            fields = _stat(one)
            memory += own_bytes(PROC / str(one))
            ticks += int(fields[11]) + int(fields[12])
            found = True
    return Usage(memory, ticks / _TICKS_PER_S) if found else None


def own_bytes(proc: Path) -> int:
    """Return the memory of a process that no other shares; where we may not look, all that is resident."""
    try:
        lines = (proc / "smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024
    except PermissionError:
        return int((proc / "statm").read_text().split()[1]) * _PAGE_BYTES


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    with suppress(OSError):
        for thread in os.listdir(PROC / str(pid) / "task"):
            for child in (PROC / str(pid) / "task" / thread / "children").read_text().split():
                yield from family(int(child))


def at_end(pid: int, call: Callable[[], None]) -> bool:
    """Call once when the process has ended; return whether that can be heard here.

    It is heard at once, before Podman hears of it. Also where it may not be signalled.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        asyncio.get_running_loop().call_soon(call)
        return True
    except (AttributeError, OSError):
        return False
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        call()

    loop.add_reader(descriptor, ended)
    return True


def _stat(pid: int) -> list[str]:
    # The command's name stands in parentheses and may hold blanks.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
