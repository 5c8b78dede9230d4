"""Become a replica: by fork from a zygote, or as a fresh interpreter; and be shut in.

``python -P -m prism_core.isolation.child SPEC.json --fd N --life N --entry MODULE:FUNCTION --confines JSON``
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from prism_core.isolation.confine import Confines, confine
from prism_core.isolation.life import tie_to_life
from prism_core.isolation.view import imported
from prism_core.logfile import ForgivingStream

if TYPE_CHECKING:
    from prism_core.protocols import ReplicaSpec  # needs numpy, which may start threads


def settle(
    replica: str, directory: str | Path, life: int, confines: Confines, environment: Iterable[str]
) -> None:
    """Take on what every replica has, however it began. The process leads its own group already.

    Must come before anything that starts a thread: the kernel shuts in one thread at a time.
    """
    tie_to_life(life)
    if sys.platform == "linux":
        Path("/proc/self/comm").write_text(f"prism:{replica}"[:15])
    confine(confines, environment, life)
    os.chdir(directory)


def find_entry(entry: str) -> Callable[[ReplicaSpec, socket.socket], int]:
    """Import ``module:function``."""
    module, _, function = entry.partition(":")
    found: Callable[[ReplicaSpec, socket.socket], int] = getattr(importlib.import_module(module), function)
    return found


def become_forked(log: int, inherited: Iterable[int]) -> None:
    """Leave behind what is shared with the zygote: session, descriptors, signals, random state."""
    os.setsid()
    for descriptor in inherited:
        os.close(descriptor)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    write_to_log()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reseed()
    gc.enable()


def write_to_log() -> None:
    """Let what is printed go into the log, and be lost where the log is full."""
    sys.stdout = ForgivingStream.text(1)
    sys.stderr = ForgivingStream.text(2)


def reseed() -> None:
    """Give this process its own random state; siblings would draw the same numbers."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random:
        numpy_random.seed()


def tell(descriptor: int) -> None:
    """Lead a session, and send a pidfd of this process: in its PID namespace it has another number."""
    os.setsid()
    pidfd = os.pidfd_open(os.getpid())
    with socket.socket(fileno=descriptor) as told:
        socket.send_fds(told, [b"."], [pidfd])
    os.close(pidfd)


def main() -> int:
    """Serve in a fresh interpreter; its streams are the log already."""
    parser = argparse.ArgumentParser(prog="python -m prism_core.isolation.child")
    parser.add_argument("spec", type=Path)
    parser.add_argument("--fd", type=int, required=True, help="the inherited listening socket")
    parser.add_argument("--life", type=int, required=True, help="the read end of the life line")
    parser.add_argument("--entry", required=True, help="module:function of the runtime")
    parser.add_argument("--confines", required=True, help="how it is shut in, as JSON")
    parser.add_argument("--tell", type=int, help="a socket that a pidfd of this process is sent on")
    arguments = parser.parse_args()
    if arguments.tell is not None:
        tell(arguments.tell)
    for descriptor in (arguments.fd, arguments.life):
        os.set_inheritable(descriptor, False)
    write_to_log()
    confines = msgspec.json.decode(arguments.confines, type=Confines)
    directory = arguments.spec.parent
    settle(directory.name, directory, arguments.life, confines, imported())
    from prism_core.protocols import ReplicaSpec

    spec = ReplicaSpec.from_json(arguments.spec.read_bytes())
    return find_entry(arguments.entry)(spec, socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    sys.exit(main())
