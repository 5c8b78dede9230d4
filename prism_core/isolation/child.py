"""Become a replica: by fork from a zygote, or as a fresh interpreter.

``python -P -m prism_core.isolation.child SPEC.json --fd N --life N --entry MODULE:FUNCTION``
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prism_core.isolation.life import tie_to_life
from prism_core.protocols import ReplicaSpec

# The supervisor kills by what a replica really uses. RLIMIT_DATA counts what it has reserved,
# touched or not, so the line is generous: it is there for the one allocation of 10 GB, which
# becomes a MemoryError in the model instead of the machine's death.
RESERVED_PER_LIMIT = 2
HEADROOM_BYTES = 256 * 1024 * 1024  # libraries and thread stacks of a fresh interpreter


def settle(spec: ReplicaSpec, life: int) -> None:
    """Take on what every replica has, however it began. The process leads its own group already."""
    tie_to_life(life)
    os.chdir(spec.directory)
    if sys.platform == "linux":
        Path("/proc/self/comm").write_text(f"prism:{spec.replica}"[:15])
        if spec.memory_limit_bytes:
            limit_data(spec.memory_limit_bytes)


def limit_data(memory_limit_bytes: int) -> None:
    """Let allocations fail that are far beyond ``memory_limit_bytes``."""
    status = Path("/proc/self/status").read_text()
    now_bytes = int(status.partition("VmData:")[2].split()[0]) * 1024
    limit = now_bytes + RESERVED_PER_LIMIT * memory_limit_bytes + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def find_entry(entry: str) -> Callable[[ReplicaSpec, socket.socket], int]:
    """Import ``module:function``."""
    module, _, function = entry.partition(":")
    found: Callable[[ReplicaSpec, socket.socket], int] = getattr(importlib.import_module(module), function)
    return found


def become_forked(spec: ReplicaSpec, life: int, log: int, inherited: Iterable[int]) -> None:
    """Leave behind what is shared with the zygote: session, descriptors, signals, random state."""
    os.setsid()
    for descriptor in inherited:
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # TextIO does not say so
    os.close(log)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reseed()
    gc.enable()
    settle(spec, life)


def reseed() -> None:
    """Give this process its own random state; siblings would draw the same numbers."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random:
        numpy_random.seed()


def main() -> int:
    """Serve in a fresh interpreter; its streams are the log already."""
    parser = argparse.ArgumentParser(prog="python -m prism_core.isolation.child")
    parser.add_argument("spec", type=Path)
    parser.add_argument("--fd", type=int, required=True, help="the inherited listening socket")
    parser.add_argument("--life", type=int, required=True, help="the read end of the life line")
    parser.add_argument("--entry", required=True, help="module:function of the runtime")
    arguments = parser.parse_args()
    spec = ReplicaSpec.from_json(arguments.spec.read_bytes())
    settle(spec, arguments.life)
    for descriptor in (arguments.fd, arguments.life):
        os.set_inheritable(descriptor, False)
    return find_entry(arguments.entry)(spec, socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    sys.exit(main())
