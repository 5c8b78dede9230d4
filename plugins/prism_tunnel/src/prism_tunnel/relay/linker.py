"""The laptop's side: one connection to a relay, and a name that is published over it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncssh
import msgspec

from prism_core.plugin import ConfigError, Linker, PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.relay.config import RelayConfig
from prism_tunnel.relay.joining import Join, join_file
from prism_tunnel.ssh.connecting import Connection, Server, connected
from prism_tunnel.ssh.faults import said
from prism_tunnel.ssh.hosts import KnownHosts

# What a relay takes to give a name away: it may ask an old connection first whether it lives.
PUBLISH_S = 15.0
# Often, so that something is always under way whose loss is noticed (`lines.give_up`). A relay that takes
# what is sent and answers nothing, as one that hangs, has longer: an answer may wait behind much else.
KEEPALIVE_S, KEEPALIVE_COUNT = 1.5, 9
NOT_OPEN = "It is not connected."


class RelayLinker:
    """Publishes a listener under a name of a relay.

    Parameters
    ----------
    join
        Which relay, and as whom.
    name
        What to publish, by default the client's own name.
    again
        Asked for the join string at each `publish`, since another may have been joined; by default it stays.
    """

    def __init__(self, join: Join, name: str = "", again: Callable[[], Join] | None = None) -> None:
        self.name = name or join.client
        self._join = again or (lambda: join)
        # By this the relay knows that a new connection is this linker's, come again.
        self._version = f"PRISM_{secrets.token_hex(16)}"
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def publish(self, listener: PublicListener) -> str:
        """Return the URL of the name; `TunnelRefused` if the relay lets us not have it."""
        await self.withdraw()
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(connected(server_of(self._join(), self._version)))
            url = await self._forward(connection, listener)
            self._stack, self._connection = stack.pop_all(), connection
        return url

    async def withdraw(self) -> None:
        """End the connection."""
        self._connection = None
        await self._stack.aclose()

    async def health(self) -> str:
        """Return "" while the connection stands."""
        return self._connection.reason() if self._connection else NOT_OPEN

    async def broken(self) -> str:
        """Return why the connection ended, as soon as it has."""
        return await self._connection.lost() if self._connection else NOT_OPEN

    async def _forward(self, connection: Connection, listener: PublicListener) -> str:
        host = "127.0.0.1" if listener.everywhere else listener.host
        try:
            async with asyncio.timeout(PUBLISH_S):
                await connection.ssh.forward_remote_port(self.name, 80, host, listener.port)
                return (await self._told(connection))["url"]
        except asyncssh.ChannelListenError:
            raise await self._refused(connection) from None
        except TimeoutError:
            raise TunnelFailed(
                f"{connection.place} did not publish {self.name!r} in time.", hint="It is tried again."
            ) from None
        except (asyncssh.Error, OSError) as error:
            raise TunnelFailed(f"{connection.place} went away: {said(error)}.") from error

    async def _told(self, connection: Connection) -> dict[str, str]:
        """Return what the relay says of the name; it says so before it answers."""
        while True:
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                facts = msgspec.json.decode(await connection.client.remarks.get())["prism"]
                if facts["name"] == self.name:
                    return dict(facts)

    async def _refused(self, connection: Connection) -> TunnelRefused | TunnelFailed:
        reason = f"{connection.place} does not publish {self.name!r}."
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                reason = (await self._told(connection)).get("refused", reason)
        if connection.reason():
            return TunnelFailed(connection.reason(), hint="It is tried again.")
        return TunnelRefused(
            reason, hint="On the relay, `prism relay token list` shows which names are whose."
        )


@asynccontextmanager
async def open_linker(config: RelayConfig) -> AsyncIterator[Linker]:
    """Open the provider."""
    linker = RelayLinker(joined(config), config.name, lambda: joined(config))
    try:
        yield linker
    finally:
        await linker.withdraw()


def server_of(join: Join, version: str = "PRISM") -> Server:
    """Return how to log in at a relay."""
    return Server(
        host=join.host,
        port=join.port,
        user=join.client,
        password=join.token,
        fingerprint=join.fingerprint,
        version=version,
        known=KnownHosts((), Path()),
        agent=False,
        keepalive_s=KEEPALIVE_S,
        keepalive_count=KEEPALIVE_COUNT,
        login_hint="The token was revoked or has expired: the relay's owner makes a new one.",
        trust_hint="Only if the relay's owner confirms the new key: join again, with a new string.",
    )


def joined(config: RelayConfig) -> Join:
    """Return the relay that the settings name, or that ``prism relay join`` wrote down.

    Raises
    ------
    ConfigError
        If there is none, or it is no join string.
    """
    if config.join:
        return Join.parse(config.join)
    path = Path(config.join_file).expanduser() if config.join_file else join_file(config.data_dir)
    try:
        return Join.parse(path.read_text())
    except OSError:
        raise ConfigError(
            "No relay was joined.",
            hint="`prism relay token create NAME`, on the relay, prints what `prism relay join` takes.",
        ) from None
