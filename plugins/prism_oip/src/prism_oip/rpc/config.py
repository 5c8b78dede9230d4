"""Where gRPC listens: ``plugins.grpc`` of the settings. Imports no grpc."""

from __future__ import annotations

import importlib.util
from typing import Any

import attrs

# Beside the public listener's 8000 and the admin listener's 8001. Triton's clients try 8001 by themselves,
# which is taken here; a client is told the port anyway.
PORT = 8081
# What the extra brings: modules, all of which are needed.
MODULES = ("grpc", "grpc_health", "grpc_reflection", "google.protobuf")


def _port(_: Any, __: Any, value: object) -> None:
    number = type(value) is int and 0 <= value <= 65535
    if not number and value not in ("auto", "off"):
        raise ValueError(f"port is a number from 0 to 65535, auto or off, not {value!r}.")


def _word(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare `off` as false


@attrs.frozen
class GrpcConfig:
    """Where gRPC listens.

    ``port`` is a number, 0 for a free one; "auto" for 8081, or a free one where that is taken or the
    public port is a free one; "off" for no gRPC. ``host`` is an address, "" for the public listener's.
    """

    port: Any = attrs.field(default="auto", converter=_word, validator=_port)
    host: str = ""


def wanted(config: GrpcConfig) -> bool:
    """Return whether a port was named: then the server does not start without it."""
    return type(config.port) is int


def available() -> str:
    """Return "" or what is missing."""
    try:
        missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError as error:  # of a name with a dot, the first part
        missing = [str(error.name)]
    return f"The package of {missing[0]} is not installed: pip install 'prism-oip[grpc]'." if missing else ""
