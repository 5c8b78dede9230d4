"""Look after running replicas from outside: what they log, their threads, what a conversion writes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from prism_core.isolation.limits import Bounds
from prism_core.logfile import trim_log
from prism_core.sizes import size_of


@attrs.frozen
class Watched:
    """A process that is looked after; ``writes``: it may write into its directory."""

    pid: int
    directory: Path
    bounds: Bounds
    writes: bool = False


def look_after(processes: Iterable[Watched]) -> list[tuple[Watched, str]]:
    """Trim what they have logged; return those that take more than they may, and what.

    Costs three system calls a process.
    """
    found = []
    for one in processes:
        trim_log(one.directory)
        reason = excess(one)
        if reason:
            found.append((one, reason))
    return found


def excess(process: Watched) -> str:
    """Return what a process takes more of than it may, "" for nothing."""
    bounds = process.bounds
    threads = threads_of(process.pid)
    if bounds.threads and threads > bounds.threads:
        return f"it has {threads} threads, plugins.process.max_threads is {bounds.threads}"
    if process.writes and (size := size_of(process.directory)) > bounds.file_bytes:
        return f"it wrote {size} bytes, plugins.process.optimize_disk is {bounds.file_bytes}"
    return ""


def threads_of(pid: int) -> int:
    """Return how many threads a process has, 0 when it is gone; -2 links are . and .. of the directory."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2
    except OSError:
        return 0
