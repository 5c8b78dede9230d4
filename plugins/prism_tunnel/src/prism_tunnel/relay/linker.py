"""The laptop's side: one connection to a relay, and a name that is published over it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec

from prism_core.plugin import ConfigError, Linker, PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.relay.config import RelayConfig
from prism_tunnel.relay.joining import Join

# What a relay takes to give a name away: it may ask an old connection first whether it lives.
PUBLISH_S = 15.0


@attrs.define(eq=False)
class RelayLinker:
    """Publishes a listener under a name of a relay.

    Parameters
    ----------
    join
        Which relay, and as whom.
    name
        What to publish, by default the client's own name.
    instance
        Tells the relay that a new connection is this laptop's, come again.
    """

    join: Join
    name: str
    instance: str = attrs.field(factory=lambda: secrets.token_hex(16))
    _session: Any = None

    async def publish(self, listener: PublicListener) -> str:
        """Return the URL of the name; `TunnelRefused` if the relay lets us not have it."""
        await self.withdraw()
        self._session = await self._connect()
        try:
            return await self._forward(listener)
        except BaseException:
            await self.withdraw()
            raise

    async def _connect(self) -> Any:
        from prism_tunnel.relay.dialling import connect

        return await connect(login_of(self.join, f"PRISM_{self.instance}"))

    async def _forward(self, listener: PublicListener) -> str:
        import asyncssh

        session = self._session
        host = "127.0.0.1" if listener.everywhere else listener.host
        try:
            async with asyncio.timeout(PUBLISH_S):
                await session.connection.forward_remote_port(self.name, 80, host, listener.port)
                return str((await self._told())["url"])
        except asyncssh.ChannelListenError:
            raise await self._refused() from None
        except TimeoutError:
            raise TunnelFailed(f"{self.join.host} did not publish {self.name!r} in time.") from None
        except (asyncssh.Error, OSError) as error:
            raise TunnelFailed(f"{self.join.host} ended the connection: {error}") from error

    async def _told(self) -> dict[str, str]:
        """Return what the relay says of the name; it says so before it answers."""
        while True:
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                facts = msgspec.json.decode(await self._session.said.get())["prism"]
                if facts["name"] == self.name:
                    return dict(facts)

    async def _refused(self) -> TunnelRefused | TunnelFailed:
        if self._session.lost:
            return TunnelFailed(f"{self.join.host} ended the connection: {self._session.lost}")
        try:
            async with asyncio.timeout(1):
                reason = (await self._told()).get("refused", "")
        except TimeoutError:
            reason = f"{self.join.host} does not publish {self.name!r}."
        return TunnelRefused(
            reason, hint="`prism relay token list`, on the relay, shows which names are whose."
        )

    async def withdraw(self) -> None:
        """End the connection."""
        from prism_tunnel.relay.dialling import disconnect

        session, self._session = self._session, None
        if session:
            await disconnect(session)

    async def health(self) -> str:
        """Return "" while the connection is up."""
        if self._session is None:
            return "It is not connected."
        return str(self._session.lost)

    async def broken(self) -> str:
        """Return why the connection ended, as soon as it does."""
        session = self._session
        return str(await session.ended()) if session else "It is not connected."


@asynccontextmanager
async def open_linker(config: RelayConfig) -> AsyncIterator[Linker]:
    """Open the provider."""
    join = joined(config)
    linker = RelayLinker(join, config.name or join.client)
    try:
        yield linker
    finally:
        await linker.withdraw()


def login_of(join: Join, version: str = "PRISM") -> Any:
    """Return how to log in at a relay."""
    from prism_tunnel.relay.dialling import Login

    return Login(
        *(join.host, join.port, join.client),
        password=join.token,
        fingerprint=join.fingerprint,
        version=version,
    )


def joined(config: RelayConfig) -> Join:
    """Return the relay that the settings name, or that ``prism relay join`` wrote down.

    Raises
    ------
    ConfigError
        If there is none.
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


def join_file(data_dir: str | Path) -> Path:
    """Return where ``prism relay join`` writes what it was told."""
    return Path(data_dir, "relay", "join")
