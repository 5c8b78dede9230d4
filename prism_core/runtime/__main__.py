"""``python -m prism_core.runtime SPEC.json --fd N | --listen tcp:HOST:PORT | --listen unix:PATH``."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from prism_core.protocols import ReplicaSpec
from prism_core.runtime.main import run

BACKLOG = 128


def _end(number: int, _: object) -> None:
    os._exit(128 + number)


def bind(address: str) -> socket.socket:
    """Return a listening socket at ``unix:PATH`` or ``tcp:HOST:PORT``."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{rest}.new")
        listener.listen(BACKLOG)
        # Whoever waits for the path may connect as soon as it is there.
        os.rename(f"{rest}.new", rest)
    else:
        host, _, port = rest.rpartition(":")
        # IPPROTO_TCP by name: asyncio sets TCP_NODELAY only on sockets that say it.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    return listener


def main() -> int:
    """Parse the arguments and run."""
    # The first process of a container is spared by signals that it has no handler for. Once it
    # serves, the runtime's own one takes this one's place.
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(prog="python -m prism_core.runtime")
    parser.add_argument("spec", type=Path)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="an inherited listening socket")
    where.add_argument("--listen", help="tcp:HOST:PORT or unix:PATH")
    arguments = parser.parse_args()
    listener = socket.socket(fileno=arguments.fd) if arguments.fd is not None else bind(arguments.listen)
    return run(ReplicaSpec.from_json(arguments.spec.read_bytes()), listener)


if __name__ == "__main__":
    sys.exit(main())
