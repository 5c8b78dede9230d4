"""A link provider by SSH: a server listens for us and passes on what comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncssh
import attrs

from prism_core.plugin import ConfigError, PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.config import ServiceConfig, SshConfig
from prism_tunnel.lines import acknowledge_at_once
from prism_tunnel.ssh.announcing import Announcement
from prism_tunnel.ssh.connecting import Connection, Server, connected
from prism_tunnel.ssh.faults import said
from prism_tunnel.ssh.had import Had
from prism_tunnel.ssh.hosts import KnownHosts
from prism_tunnel.ssh.services import Service

URL = "{scheme}://{host}:{port}"
NOT_OPEN = "No tunnel is open."


@attrs.frozen
class Wish:
    """What is asked of a server: where it listens for us, and how its address is known.

    Parameters
    ----------
    host, port
        As in ``ssh -R HOST:PORT:...``; "" is all addresses, 0 any port.
    url
        The address, which may hold ``{host}``, ``{port}`` and ``{scheme}``.
    announced
        How the server tells the address in the session's text, instead.
    hint
        What to do where it does not listen for us.
    """

    host: str = ""
    port: int = 0
    url: str = URL
    announced: re.Pattern[str] | None = None
    hint: str = "Is it taken? Else sshd_config there has to allow it: `AllowTcpForwarding`, `PermitListen`."


class SshLinker:
    """Asks an SSH server to listen, and forwards each connection to the public listener."""

    def __init__(self, server: Server, wish: Wish, had: Had) -> None:
        self._server = server
        self._wish = wish
        self._had = had
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._session: Announcement | None = None

    async def publish(self, listener: PublicListener) -> str:
        """Return the address under which the server is reached for us."""
        await self.withdraw()
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(connected(self._server))
            acknowledge_at_once(connection.ssh)
            port = await self._forward(connection, listener)
            url = await self._address(connection, listener, port)
            self._stack, self._connection = stack.pop_all(), connection
        return url.rstrip("/")

    async def withdraw(self) -> None:
        """Close the connection, and with it the server's port."""
        self._connection = self._session = None
        await self._stack.aclose()

    async def health(self) -> str:
        """Return "" while the connection stands; whether the address leads here, a request would tell."""
        if self._connection is None:
            return NOT_OPEN
        return self._connection.reason() or (self._session.reason() if self._session else "")

    async def broken(self) -> str:
        """Return why the connection ended, as soon as it has."""
        if self._connection is None:
            return NOT_OPEN
        ends = [self._connection.lost(), *([self._session.ended()] if self._session else [])]
        tasks = [asyncio.create_task(end) for end in ends]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()

    async def _forward(self, connection: Connection, listener: PublicListener) -> int:
        inward = "127.0.0.1" if listener.everywhere else listener.host
        try:
            forwarding = await connection.ssh.forward_remote_port(
                *(self._wish.host, self._wish.port), *(inward, listener.port)
            )
        except asyncssh.ChannelListenError as error:
            raise self._no_port(connection.place, said(error)) from error
        except asyncssh.Error as error:
            raise TunnelFailed(f"{connection.place} went away: {said(error)}.") from error
        if self._wish.port:
            self._had.note(self._port)
        return forwarding.get_port()

    @property
    def _port(self) -> str:
        return f"{self._server.place} {self._wish.host}:{self._wish.port}"

    def _no_port(self, place: str, reason: str) -> TunnelFailed | TunnelRefused:
        wanted = f"port {self._wish.port}" if self._wish.port else "a port"
        if self._had.noted(self._port):
            # After a cut, or our sudden end, the server keeps it for the old connection until it notices.
            return TunnelFailed(
                f"{place} does not give {wanted} back yet: {reason}.", hint="It is tried again."
            )
        return TunnelRefused(f"{place} does not listen on {wanted} for us: {reason}.", hint=self._wish.hint)

    async def _address(self, connection: Connection, listener: PublicListener, port: int) -> str:
        if self._wish.announced:
            self._session = Announcement(connection.place)
            return await self._session.address(connection.ssh, self._wish.announced, self._server.connect_s)
        host = self._server.host
        bracketed = f"[{host}]" if ":" in host else host
        return self._wish.url.format(scheme=listener.scheme, host=bracketed, port=port)


def server_of(config: SshConfig) -> Server:
    """Return the server that the settings name."""
    return Server(
        host=config.host,
        known=KnownHosts.of(config.data_dir, config.known_hosts),
        port=config.port,
        user=config.user,
        keys=config.keys,
        agent=config.agent,
        config_file=config.config_file,
        jump=config.jump,
        **_patience(config),
    )


def wish_of(config: SshConfig) -> Wish:
    """Return what the settings ask of the server."""
    at = config.remote_host or ("localhost" if config.url else "")
    return Wish("" if at == "*" else at, config.remote_port, config.url or URL)


@asynccontextmanager
async def open_ssh(config: SshConfig) -> AsyncIterator[SshLinker]:
    """Open the provider ``ssh``; its tunnel ends with it."""
    if config.lacks():
        raise ConfigError(config.lacks(), hint="`prism tunnel list` shows what is ready.")
    linker = SshLinker(server_of(config), wish_of(config), Had.of(config.data_dir))
    async with _closing(linker):
        yield linker


@asynccontextmanager
async def open_service(config: ServiceConfig, service: Service) -> AsyncIterator[SshLinker]:
    """Open the provider of a public service; its tunnel ends with it."""
    server = Server(
        host=config.host or service.host,
        known=KnownHosts.of(config.data_dir, config.known_hosts),
        port=config.port or service.port,
        user=config.token or config.user or service.user,
        keys=config.keys or None,
        agent=config.agent,
        open_door=True,
        login_hint=f"{service.docs} says who is let in; `keys` and `user` are of plugins.{service.name}.",
        **_patience(config),
    )
    wish = Wish(
        *(config.name, service.remote_port),
        announced=service.announced,
        hint=f"{service.docs} says what it gives to whom.",
    )
    linker = SshLinker(server, wish, Had.of(config.data_dir))
    async with _closing(linker):
        yield linker


@asynccontextmanager
async def _closing(linker: SshLinker) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await linker.withdraw()


def _patience(config: SshConfig | ServiceConfig) -> dict[str, Any]:
    return {
        "connect_s": config.connect_s,
        "keepalive_s": config.keepalive_s,
        "keepalive_count": config.keepalive_count,
    }
