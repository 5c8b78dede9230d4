"""One connection to an SSH server: whom it may be, how to log in, and the moment when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import attrs

from prism_core.plugin import PrismError, TunnelRefused
from prism_tunnel.lines import dial, give_up
from prism_tunnel.packing import pack
from prism_tunnel.ssh.faults import LOGIN, fault_of, host_key_fault, said
from prism_tunnel.ssh.hosts import HostKey, KnownHosts, shown
from prism_tunnel.ssh.places import SSH_PORT, parse_place, place_of

# First of all that asyncssh offers: 65 % more bytes a second through a tunnel than its own first choice.
CIPHERS = "^aes128-gcm@openssh.com"
# For a server of which no key is known: a key that can be compared and stored, no certificate.
PLAIN_KEYS = (
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"
)
# What becomes of a key exchange that the server, or we, do not go on with.
HUNG_UP = (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost, ConnectionResetError)
# How many remarks of a server are kept until somebody listens.
REMARKS = 100
# A peer that is frozen does not take leave.
CLOSE_S = 2.0


@attrs.frozen
class Server:
    """An SSH server, how to log in there, and how long it may say nothing.

    Parameters
    ----------
    host, port, user
        As in ``ssh -p PORT USER@HOST``; 0 and "" where ``config_file`` or the defaults of ssh say it.
    known
        The host keys that are believed.
    keys
        Files of private keys; () is those that ssh takes by itself, None is none at all.
    agent
        Whether the agent at ``SSH_AUTH_SOCK`` is asked for keys.
    config_file
        A file like ``~/.ssh/config``; "" reads none.
    jump
        Servers to go through, ``USER@HOST:PORT``, the nearest first.
    open_door
        The server lets everybody in who answers its questions with nothing.
    login_hint
        What to do when it does not accept the login.
    password
        A password or a token; with one, no key is offered.
    fingerprint
        The host key that is believed, ``SHA256:...``, whatever is ``known``; "" for those that are.
    trust_hint
        What to do when it shows another host key, "" for what `prism tunnel trust` does.
    version
        What we call ourselves, "" for what asyncssh does.
    """

    host: str
    known: KnownHosts
    port: int = 0
    user: str = ""
    keys: tuple[str, ...] | None = ()
    agent: bool = True
    config_file: str = ""
    jump: tuple[str, ...] = ()
    connect_s: float = 15.0
    keepalive_s: float = 15.0
    keepalive_count: int = 3
    open_door: bool = False
    login_hint: str = LOGIN
    password: str = attrs.field(default="", repr=False)
    fingerprint: str = ""
    trust_hint: str = ""
    version: str = ""

    @property
    def place(self) -> str:
        """What messages call it."""
        return place_of(self.host, self.port or SSH_PORT)


class Client(asyncssh.SSHClient):
    """What asyncssh tells of a connection: the host key that it does not know, and why it ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.stranger: HostKey | None = None
        self.fault: Exception | None = None
        self.ended = asyncio.Event()
        self.remarks: asyncio.Queue[str] = asyncio.Queue(REMARKS)

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Begin."""
        pack(conn)
        give_up(conn)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Note a key that no file knows, and refuse it, unless it is the one that was said."""
        if self._server.fingerprint and key.get_fingerprint() == self._server.fingerprint:
            return True
        self.stranger = shown(host, port, key)
        return False

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Keep what the server remarks."""
        if not self.remarks.full():  # nobody may be listening, and the server may be a stranger
            self.remarks.put_nowait(msg)

    def password_auth_requested(self) -> str | None:
        """Answer a door that is open to all with nothing."""
        return "" if self._server.open_door else None

    def kbdint_auth_requested(self) -> str | None:
        """Let such a door ask."""
        return "" if self._server.open_door else None

    def kbdint_challenge_received(self, name: str, instructions: str, lang: str, prompts: Any) -> list[str]:
        """Answer each of its questions with nothing."""
        return ["" for _ in prompts]

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake those who wait for the end."""
        self.fault = exc
        self.ended.set()


@attrs.frozen
class Connection:
    """A connection that is logged in."""

    ssh: asyncssh.SSHClientConnection
    client: Client
    place: str

    async def lost(self) -> str:
        """Return why it ended, as soon as it has."""
        await self.client.ended.wait()
        return self.reason()

    def reason(self) -> str:
        """Return "" while it stands, else why it does not."""
        if not self.client.ended.is_set():
            return ""
        fault = self.client.fault
        return f"The connection to {self.place} ended" + (f": {said(fault)}." if fault else ".")


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connection]:
    """Log in at a server; the connection, and those that it goes through, end with the context.

    Raises
    ------
    TunnelRefused
        If its host key is not known or has changed, or it does not accept the login.
    TunnelFailed
        If it cannot be reached.
    """
    async with _way(server) as through, _connected(server, through) as connection:
        yield connection


async def host_key(server: Server) -> HostKey:
    """Return the key that a server shows now, whether it is known or not; nobody logs in.

    Raises
    ------
    TunnelFailed, TunnelRefused
        If it cannot be reached, or speaks no SSH.
    """
    async with _way(server) as through:
        return await _host_key(server, through)


@asynccontextmanager
async def _way(server: Server) -> AsyncIterator[Connection | None]:
    """Open the connections that the one to ``server`` goes through; give the last."""
    async with AsyncExitStack() as stack:
        through: Connection | None = None
        for text in server.jump:
            through = await stack.enter_async_context(_connected(_hop(server, text), through))
        yield through


@asynccontextmanager
async def _connected(server: Server, through: Connection | None) -> AsyncIterator[Connection]:
    client = Client(server)
    try:
        ssh = await _connect(server, client, through)
    except Exception as error:
        raise await _why(error, server, client, through) from error
    try:
        yield Connection(ssh, client, server.place)
    finally:
        await _close(ssh)


async def _why(error: Exception, server: Server, client: Client, through: Connection | None) -> PrismError:
    """Return what is told of a connection that did not come about."""
    if isinstance(error, PrismError):
        return error
    stranger = client.stranger or await _unlike_known(error, server, through)
    if stranger is None:
        return fault_of(error, server.place, server.login_hint)
    known = server.known.fingerprints(stranger.host, stranger.port)
    return host_key_fault(stranger, [server.fingerprint] if server.fingerprint else known, server.trust_hint)


async def _unlike_known(error: Exception, server: Server, through: Connection | None) -> HostKey | None:
    """Return the key of a server that hung up because it has none of the kind that is known of it."""
    known = server.known.fingerprints(server.host, server.port or SSH_PORT)
    if not known or not isinstance(error, HUNG_UP):
        return None
    try:
        shows = await _host_key(server, through)
    except PrismError:
        return None
    return None if shows.fingerprint in known else shows


async def _host_key(server: Server, through: Connection | None) -> HostKey:
    client, nothing = Client(server), KnownHosts((), server.known.own)
    try:
        ssh = await _connect(attrs.evolve(server, known=nothing, keys=()), client, through)
    except Exception as error:
        if client.stranger:
            return client.stranger
        raise fault_of(error, server.place) from error
    await _close(ssh)  # a server without any key of its own, as GSS allows
    raise TunnelRefused(f"{server.place} showed no host key.")


async def _connect(
    server: Server, client: Client, through: Connection | None
) -> asyncssh.SSHClientConnection:
    async with asyncio.timeout(server.connect_s):
        login, known = await asyncio.to_thread(lambda: (_login(server), server.known.read()))
        direct = through is None and not server.config_file
        return await asyncssh.connect(
            server.host,
            server.port or (),
            sock=await dial(server.host, server.port or SSH_PORT) if direct else None,
            tunnel=through.ssh if through else (),
            client_factory=lambda: client,
            known_hosts=known,
            x509_trusted_certs=None,
            username=server.user or (),
            encryption_algs=CIPHERS,
            keepalive_interval=server.keepalive_s,
            keepalive_count_max=server.keepalive_count,
            **login,
            **_algorithms(server, known),
        )


def _login(server: Server) -> dict[str, Any]:
    """Return who we are to the server, read from the files that are named."""
    config = str(Path(server.config_file).expanduser()) if server.config_file else None
    chosen: dict[str, Any] = {"agent_path": () if server.agent else None, "config": config}
    if server.version:
        chosen["client_version"] = server.version
    if server.password:
        return {**chosen, "password": server.password, "client_keys": None}
    if server.keys != ():
        chosen["client_keys"] = [pair for name in server.keys or () for pair in _pairs(name)] or None
    return chosen


def _pairs(name: str) -> Sequence[asyncssh.SSHKeyPair]:
    try:
        return asyncssh.load_keypairs(Path(name).expanduser())
    except (OSError, ValueError) as error:
        raise TunnelRefused(
            f"The key {name!r} cannot be read: {said(error)}.",
            hint="One with a passphrase belongs into the agent: ssh-add FILE.",
        ) from error


def _algorithms(server: Server, known: asyncssh.SSHKnownHosts) -> dict[str, Any]:
    """Ask a server that nobody knows for a plain key; one that is known is asked for what is known of it."""
    port = server.port if server.port not in (0, SSH_PORT) else None
    keys, authorities, *_ = known.match(server.host, "", port)
    return {} if keys or authorities or server.config_file else {"server_host_key_algs": PLAIN_KEYS}


def _hop(server: Server, text: str) -> Server:
    user, _, place = text.rpartition("@")
    host, port = parse_place(place)
    return attrs.evolve(server, host=host, port=port, user=user, jump=())


async def _close(ssh: asyncssh.SSHClientConnection) -> None:
    ssh.close()
    try:
        async with asyncio.timeout(CLOSE_S):
            await ssh.wait_closed()
    except TimeoutError:
        ssh.abort()
        await ssh.wait_closed()
