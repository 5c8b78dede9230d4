"""The link provider ``ssh``: an SSH server listens for us and passes on what comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncssh

from prism_core.plugin import PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.config import SshConfig
from prism_tunnel.ssh.connecting import Connection, Server, connected
from prism_tunnel.ssh.faults import said
from prism_tunnel.ssh.hosts import KnownHosts

NOT_OPEN = "No tunnel is open."


class SshLinker:
    """Asks an SSH server to listen, and forwards each connection to the public listener."""

    def __init__(self, config: SshConfig) -> None:
        self._config = config
        self._had_port = False
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def publish(self, listener: PublicListener) -> str:
        """Return the address under which the server's port is reached."""
        await self.withdraw()
        if self._config.lacks():
            raise TunnelRefused(self._config.lacks(), hint="`prism tunnel list` shows what is ready.")
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(connected(server_of(self._config)))
            port = await self._forward(connection, listener)
            self._stack, self._connection = stack.pop_all(), connection
        self._had_port = True
        return self._url(listener, port)

    async def withdraw(self) -> None:
        """Close the connection, and with it the server's port."""
        self._connection = None
        await self._stack.aclose()

    async def health(self) -> str:
        """Return "" while the connection stands; whether the address leads here, a request would tell."""
        return self._connection.reason() if self._connection else NOT_OPEN

    async def broken(self) -> str:
        """Return why the connection ended, as soon as it has."""
        return await self._connection.lost() if self._connection else NOT_OPEN

    async def _forward(self, connection: Connection, listener: PublicListener) -> int:
        config, inward = self._config, "127.0.0.1" if listener.everywhere else listener.host
        at = config.remote_host or ("localhost" if config.url else "")
        try:
            forwarding = await connection.ssh.forward_remote_port(
                *("" if at == "*" else at, config.remote_port), *(inward, listener.port)
            )
        except asyncssh.ChannelListenError as error:
            raise self._no_port(connection.place, said(error)) from error
        except asyncssh.Error as error:
            raise TunnelFailed(f"{connection.place} went away: {said(error)}.") from error
        return forwarding.get_port()

    def _no_port(self, place: str, reason: str) -> TunnelFailed | TunnelRefused:
        wanted = f"port {self._config.remote_port}" if self._config.remote_port else "a port"
        if self._had_port and self._config.remote_port:
            # After a cut the server may keep it for the old connection, until it notices too.
            return TunnelFailed(
                f"{place} does not give {wanted} back yet: {reason}.", hint="It is tried again."
            )
        return TunnelRefused(
            f"{place} does not listen on {wanted} for us: {reason}.",
            hint="Is it taken? Else sshd_config there has to allow it: `AllowTcpForwarding`, `PermitListen`.",
        )

    def _url(self, listener: PublicListener, port: int) -> str:
        host = self._config.host
        template = self._config.url or f"{listener.scheme}://{{host}}:{{port}}"
        return template.format(host=f"[{host}]" if ":" in host else host, port=port).rstrip("/")


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
        connect_s=config.connect_s,
        keepalive_s=config.keepalive_s,
        keepalive_count=config.keepalive_count,
    )


@asynccontextmanager
async def open_ssh(config: SshConfig) -> AsyncIterator[SshLinker]:
    """Open the provider; its tunnel ends with it."""
    linker = SshLinker(config)
    try:
        yield linker
    finally:
        await linker.withdraw()
