"""How much a replica may take: memory, threads, files. Holds on every system that PRISM runs on."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import msgspec

MB = 1024 * 1024
# The supervisor kills by what a replica really uses. RLIMIT_DATA counts what it has reserved,
# touched or not, so the line is generous: it is there for the one allocation of 10 GB, which
# becomes a MemoryError in the model instead of the machine's death.
RESERVED_PER_LIMIT = 2
HEADROOM_BYTES = 256 * MB  # libraries and thread stacks of a fresh interpreter
# A replica has few files and a connection for each gateway. Buffers of sockets and pipes are
# memory that no limit counts: this is what bounds them.
FILES = 1024
# Where a limit counts all processes of the account, what a replica may add to them.
THREADS_BESIDE_OTHERS = 1024
# Of 1000: when memory runs out the kernel takes a replica before whatever it was started from.
OOM_SCORE = 500


class Bounds(msgspec.Struct, frozen=True):
    """What one replica may take.

    ``data_bytes`` may be reserved beside what is there at its start, 0 for no bound; ``threads``
    may exist at a time, 0 for any number; no file may grow larger than ``file_bytes``;
    ``tmp_bytes`` is its own /tmp.
    """

    data_bytes: int
    threads: int
    file_bytes: int
    tmp_bytes: int


def data_bytes(memory_limit_bytes: int, default_bytes: int) -> int:
    """Return what a replica may reserve, by its kill line or else by default; 0 for no bound."""
    if memory_limit_bytes:
        return RESERVED_PER_LIMIT * memory_limit_bytes + HEADROOM_BYTES
    return default_bytes


def limit_data(more_bytes: int) -> None:
    """Let allocations fail once ``more_bytes`` are reserved beside what is now. On Linux only."""
    if more_bytes and sys.platform == "linux":
        _lower(resource.RLIMIT_DATA, _reserved_bytes() + more_bytes)


def bound(bounds: Bounds, alone: bool) -> None:
    """Put the bounds on this process; ``alone``: it is the only one that its limit of threads counts."""
    limit_data(bounds.data_bytes)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, FILES)
    _lower(resource.RLIMIT_FSIZE, bounds.file_bytes)
    if sys.platform == "linux":
        others = 0 if alone else _threads_of_all() + THREADS_BESIDE_OTHERS
        _lower(resource.RLIMIT_NPROC, others + bounds.threads)


def be_first_to_go() -> None:
    """Have the kernel take this process before others when memory runs out; it cannot take that back."""
    score = Path("/proc/self/oom_score_adj")
    score.write_text(str(min(1000, int(score.read_text()) + OOM_SCORE)))


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


def _reserved_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def _threads_of_all() -> int:
    # "0.12 0.08 0.05 1/345 6789": threads that run, and all of the machine.
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
