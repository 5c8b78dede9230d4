"""Which port gRPC gets: the one that was named, the usual one, or a free one."""

from __future__ import annotations

from typing import Any

from prism_core.plugin import ConfigError, Surroundings
from prism_oip.rpc.config import PORT, GrpcConfig


def bind(server: Any, config: GrpcConfig, around: Surroundings, credentials: Any) -> str:
    """Let ``server`` listen; return the URL of where it does.

    Parameters
    ----------
    credentials
        What encrypts it, None for nothing.

    Raises
    ------
    ConfigError
        If there is no such port to be had.
    """
    host = config.host or around.host
    for port in ports(config, around):
        try:
            bound = _bound(server, f"{_bracketed(host)}:{port}", credentials)
        except RuntimeError:
            continue
        return f"{'grpcs' if credentials else 'grpc'}://{_bracketed(host)}:{bound}"
    raise ConfigError(
        f"gRPC cannot listen on {host}, port {config.port}: another program has it, or it may not be used.",
        hint="Choose another with --grpc-port, for instance --grpc-port 0 for a free one, or off.",
    )


def ports(config: GrpcConfig, around: Surroundings) -> tuple[int, ...]:
    """Return the ports to try, 0 for a free one."""
    if config.port != "auto":
        return (config.port,)
    return (0,) if around.any_port else (PORT, 0)


def _bound(server: Any, address: str, credentials: Any) -> int:
    if credentials is None:
        return int(server.add_insecure_port(address))
    return int(server.add_secure_port(address, credentials))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
