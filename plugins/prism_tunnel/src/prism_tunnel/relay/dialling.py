"""One SSH connection from this machine: whom to trust, how to log in, what became of it.

Used by every provider that speaks SSH. Neither the user's SSH configuration nor an agent is asked for
anything that was not said. Import it inside functions: asyncssh takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import attrs

from prism_core.plugin import TunnelFailed, TunnelRefused
from prism_tunnel.packing import pack

# Without AES instructions chacha20 would be quicker, and is next. Measured: aes128-gcm moves 65 % more
# than asyncssh's own first choice.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
CONNECT_S = 15.0
# A peer that answers nothing for twice as long is gone.
KEEPALIVE_S, KEEPALIVE_COUNT = 5.0, 2


@attrs.frozen
class Login:
    """Where to connect to, how to know that it is the one, and what to log in with.

    Parameters
    ----------
    host, port, user
        Where, and as whom.
    password
        A password or a token, "" for none.
    keys
        Private keys to offer, as files.
    agent
        The path of an agent's socket to ask for keys, "" for none.
    fingerprint
        What the host's key must have, ``SHA256:...``; else it must be in ``known_hosts``.
    known_hosts
        A file in OpenSSH's form.
    version
        What to call ourselves.
    """

    host: str
    port: int = 22
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    keys: tuple[Path, ...] = ()
    agent: str = ""
    fingerprint: str = ""
    known_hosts: Path | None = None
    version: str = "PRISM"

    @property
    def place(self) -> str:
        """Where, for messages."""
        return f"{self.host}:{self.port}"


class Session(asyncssh.SSHClient):
    """An SSH connection that is up, and what its other side says.

    Attributes
    ----------
    connection
        asyncssh's.
    said
        Debug messages of the other side, in order.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connection: asyncssh.SSHClientConnection
        self.offered = ""
        self.said: asyncio.Queue[str] = asyncio.Queue()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Begin."""
        pack(conn)
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Return whether a key that is in no known_hosts file is the one that was said."""
        self.offered = key.get_fingerprint()
        return bool(self._login.fingerprint) and self.offered == self._login.fingerprint

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Keep what the other side remarks."""
        self.said.put_nowait(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep why it ended."""
        if not self._lost.done():
            self._lost.set_result(str(exc) if exc else "The connection was closed.")

    @property
    def lost(self) -> str:
        """Why the connection ended, "" while it is up."""
        return self._lost.result() if self._lost.done() else ""

    async def ended(self) -> str:
        """Return why the connection ended, as soon as it does."""
        return await asyncio.shield(self._lost)


@asynccontextmanager
async def connected(login: Login) -> AsyncIterator[Session]:
    """Open a connection; it is closed at the end.

    Raises
    ------
    TunnelRefused
        If the host's key is not the one, or the login is refused.
    TunnelFailed
        If it cannot be reached.
    """
    session = await connect(login)
    try:
        yield session
    finally:
        await disconnect(session)


async def connect(login: Login) -> Session:
    """Return a connection that is up; as `connected`, to be ended by `disconnect`."""
    session = Session(login)
    try:
        async with asyncio.timeout(CONNECT_S):
            await asyncssh.create_connection(lambda: session, login.host, login.port, **_options(login))
    except asyncssh.HostKeyNotVerifiable:
        raise _untrusted(login, session.offered) from None
    except asyncssh.PermissionDenied:
        raise TunnelRefused(
            f"{login.place} does not let {login.user!r} in.",
            hint="The key or token is not known there, or was revoked or has expired.",
        ) from None
    except asyncssh.Error as error:
        raise TunnelFailed(f"{login.place} ended the connection: {error.reason}") from error
    except TimeoutError:
        raise TunnelFailed(f"{login.place} did not answer within {CONNECT_S:.0f} seconds.") from None
    except OSError as error:
        raise TunnelFailed(f"{login.place} cannot be reached: {error.strerror or error}") from error
    return session


async def disconnect(session: Session) -> None:
    """End a connection, politely where the other side is there."""
    session.connection.close()
    try:
        async with asyncio.timeout(2):
            await session.connection.wait_closed()
    except TimeoutError:
        session.connection.abort()


def _options(login: Login) -> dict[str, Any]:
    known: Any = login.known_hosts if login.known_hosts and not login.fingerprint else ([], [], [])
    keys: Sequence[str] | None = [str(path) for path in login.keys] or None
    return {
        "config": None,
        "username": login.user,
        "password": login.password or None,
        "client_keys": keys,
        "agent_path": login.agent or None,
        "known_hosts": str(known) if isinstance(known, Path) else known,
        "encryption_algs": list(CIPHERS),
        "compression_algs": None,
        "client_version": login.version,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVE_COUNT,
        "login_timeout": CONNECT_S,
    }


def _untrusted(login: Login, offered: str) -> TunnelRefused:
    if login.fingerprint:
        return TunnelRefused(
            f"The host key of {login.place} is {offered}, and {login.fingerprint} was expected.",
            hint="Somebody is in between, or the host has a new key: ask its owner before you trust it.",
        )
    return TunnelRefused(
        f"The host key of {login.place} is not known: {offered}",
        hint=f"Compare it with what its owner says, then add it: ssh-keyscan -p {login.port} {login.host}",
    )
