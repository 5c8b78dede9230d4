"""``python -m prism_core.runtime SPEC.json --fd N | --listen ADDRESS | --http``.

``--http`` is for a replica that nobody stands before, in a container of its own: plain HTTP on a
port and nothing else. Flags, or the variables HOST, PORT, PRISM_TOKEN, PRISM_MAX_BODY,
PRISM_MAX_CONNECTIONS and PRISM_DRAIN_S.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from prism_core.protocols import ReplicaSpec
from prism_core.runtime.http import Bounds
from prism_core.runtime.main import Alone, run
from prism_core.sizes import parse_bytes

HOST, PORT = "0.0.0.0", 8080
BACKLOG = 128
# Descriptors that are not for connections.
SPARE = 64


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
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # IPPROTO_TCP by name: asyncio sets TCP_NODELAY only on sockets that say it.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    return listener


def parser_of(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser, with what the environment says for defaults."""
    parser = argparse.ArgumentParser(prog="python -m prism_core.runtime")
    parser.add_argument("spec", type=Path)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="an inherited listening socket")
    where.add_argument("--listen", help="tcp:HOST:PORT or unix:PATH")
    parser.add_argument("--mark", type=Path, help="made once the address can be connected to")
    where.add_argument("--http", action="store_true", help="plain HTTP without a gateway")
    alone = parser.add_argument_group("with --http")
    alone.add_argument("--host", default=environ.get("HOST") or HOST)
    alone.add_argument("--port", type=int, default=environ.get("PORT") or PORT)
    alone.add_argument("--max-body", type=parse_bytes, default=environ.get("PRISM_MAX_BODY") or "64MB")
    alone.add_argument("--max-connections", type=int, default=environ.get("PRISM_MAX_CONNECTIONS") or 1000)
    alone.add_argument("--drain-s", type=float, default=environ.get("PRISM_DRAIN_S") or 30.0)
    return parser


def main() -> int:
    """Parse the arguments and run."""
    # The first process of a container is spared by signals that it has no handler for. Once it
    # serves, the runtime's own one takes this one's place.
    signal.signal(signal.SIGTERM, _end)
    arguments = parser_of(os.environ).parse_args()
    spec = ReplicaSpec.from_json(arguments.spec.read_bytes())
    if arguments.http:
        return serve_alone(spec, arguments)
    listener = socket.socket(fileno=arguments.fd) if arguments.fd is not None else bind(arguments.listen)
    if arguments.mark:
        arguments.mark.touch()
    return run(spec, listener)


def serve_alone(spec: ReplicaSpec, arguments: argparse.Namespace) -> int:
    """Serve a replica that has no gateway."""
    signal.signal(signal.SIGINT, _end)
    token = os.environ.pop("PRISM_TOKEN", "")
    bounds = Bounds(
        max_body_bytes=arguments.max_body,
        max_connections=min(arguments.max_connections, _descriptors() - SPARE),
    )
    listener = bind(f"tcp:{arguments.host}:{arguments.port}")
    return run(attrs.evolve(spec, token=token), listener, Alone(bounds, arguments.drain_s))


def _descriptors() -> int:
    import resource  # not on Windows, where no container runs this

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


if __name__ == "__main__":
    sys.exit(main())
