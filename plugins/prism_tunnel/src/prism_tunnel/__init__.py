"""Give links an address that can be sent to a friend: SSH, a relay of one's own, and other programs.

The plugin itself: it describes the link providers and imports none of their libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from prism_core.plugin import Command, Linker, LinkProvider, hookimpl
from prism_tunnel.config import ServiceConfig, SshConfig
from prism_tunnel.programs.config import ProgramConfig
from prism_tunnel.programs.program import Program
from prism_tunnel.programs.table import PROGRAMS
from prism_tunnel.relay.config import RelayConfig
from prism_tunnel.ssh.services import SERVICES, Service

__version__ = "0.1.0"


@hookimpl
def prism_link_providers() -> Iterator[LinkProvider]:
    """Offer the tunnels."""
    yield LinkProvider(
        "relay",
        open=_open_relay,
        config=RelayConfig,
        tunnel=True,
        forwards="x-forwarded-for",
        rank=10,
        about=lambda: "a relay of your own: prism relay join",
    )
    yield LinkProvider(
        "ssh",
        open=_open_ssh,
        config=SshConfig,
        tunnel=True,
        rank=20,
        about=lambda: "through any SSH server: plugins.ssh.host",
    )
    for program in PROGRAMS:
        yield LinkProvider(
            program.name,
            open=partial(_open_program, program),
            config=program.config,
            available=program.missing,
            tunnel=True,
            forwards=program.forwards,
            rank=program.rank,
            about=program.about,
        )
    for service in SERVICES:
        yield LinkProvider(
            service.name,
            open=partial(_open_service, service),
            config=ServiceConfig,
            tunnel=True,
            forwards=service.forwards,
            rank=service.rank,
            about=service.about,
        )


def _open_relay(config: RelayConfig) -> AbstractAsyncContextManager[Linker]:
    from prism_tunnel.relay.linker import open_linker

    return open_linker(config)


def _open_ssh(config: SshConfig) -> AbstractAsyncContextManager[Linker]:
    from prism_tunnel.ssh.linker import open_ssh

    return open_ssh(config)


def _open_service(service: Service, config: ServiceConfig) -> AbstractAsyncContextManager[Linker]:
    from prism_tunnel.ssh.linker import open_service

    return open_service(config, service)


def _open_program(program: Program, config: ProgramConfig) -> AbstractAsyncContextManager[Linker]:
    from prism_tunnel.programs.linker import open_program

    return open_program(config, program)


@hookimpl
def prism_commands() -> Iterator[Command]:
    """Offer ``prism relay`` and ``prism tunnel``."""
    yield Command("relay", build=_relay_command, help="Run a relay of your own, or join one.")
    yield Command(
        "tunnel", build=_tunnel_command, help="Look after the ways by which links leave this machine."
    )


def _relay_command() -> Any:
    from prism_tunnel.relay.commands import relay

    return relay


def _tunnel_command() -> Any:
    from prism_tunnel.commands.group import tunnel

    return tunnel
