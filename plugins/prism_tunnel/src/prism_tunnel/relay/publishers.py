"""A laptop's SSH connection: who it is, and which names it publishes. Nothing else is let through."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncssh
import msgspec
import structlog

from prism_tunnel.lines import give_up
from prism_tunnel.packing import pack
from prism_tunnel.relay.hall import Hall
from prism_tunnel.relay.heads import address_of
from prism_tunnel.relay.naming import is_name
from prism_tunnel.relay.table import Publication

log = structlog.get_logger("prism.relay")

# Connections that have not logged in: all together, and from one address.
MOST_STRANGERS, MOST_OF_ONE = 256, 16
# A laptop whose machine has acknowledged nothing for so long is away, and its visitors are told.
SILENT_S = 10.0
# How long an old connection may take to show that it is alive, when another one wants its name.
ALIVE_S = 2.0
# What PRISM's own client calls itself: with its instance, which tells a laptop that comes again.
VERSION = re.compile(r"SSH-2\.0-PRISM_([0-9a-f]{32})")


class Publisher(asyncssh.SSHServer):
    """One connection. Everything that asyncssh's server does not allow by itself stays refused.

    Attributes
    ----------
    client
        Whose it is, "" until it has logged in.
    instance
        What tells a laptop that comes again, "" where it does not say.
    """

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self.client = ""
        self.instance = ""
        self.digest = ""
        self.connection: asyncssh.SSHServerConnection
        self._address = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Begin, or turn away where too many are about to log in."""
        pack(conn)
        give_up(conn, SILENT_S)
        self.connection = conn
        self._address = address_of(conn.get_extra_info("peername"))
        strangers = self._hall.strangers
        strangers[self._address] += 1
        if strangers[self._address] > MOST_OF_ONE or strangers.total() > MOST_STRANGERS:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what it published."""
        if not self.client:
            self._hall.no_more_stranger(self._address)
            return
        self._hall.publishers.discard(self)
        for one in self._hall.table.of(self):
            self._hall.table.drop(one)
            log.info("relay.withdrawn", name=one.name, client=self.client)
        log.info("relay.client_gone", client=self.client, reason=str(exc) if exc else "")

    def begin_auth(self, username: str) -> bool:
        """Let nobody in without a proof."""
        return True

    def password_auth_supported(self) -> bool:
        """Take tokens."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Take keys."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Return whether a token is the client's."""
        return self._may_enter(username, self._hall.clients.holds_token(username, password, self._hall.now()))

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether a key is the client's; that the other side has its private half is checked after."""
        text = key.export_public_key().decode()
        line = " ".join(text.split()[:2])
        return self._hall.clients.holds_key(username, line, self._hall.now())

    def _may_enter(self, username: str, proved: bool) -> bool:
        if not proved:
            self._hall.counts["logins_refused"] += 1
            log.warning("relay.login_refused", client=username[:64], address=self._address)
        return proved

    def auth_completed(self) -> None:
        """Count it among the laptops."""
        self.client = str(self.connection.get_extra_info("username"))
        found = VERSION.fullmatch(str(self.connection.get_extra_info("client_version", "")))
        self.instance = found[1] if found else ""
        self._hall.no_more_stranger(self._address)
        self._hall.publishers.add(self)
        record = self._hall.clients.find(self.client)
        if record:
            self.digest = record.digest
            self._hall.traffic(self.client).limit(record)
        log.info("relay.client", client=self.client, address=self._address)

    async def server_requested(self, listen_host: str, listen_port: int) -> Any:
        """Publish a name: ``-R NAME:80:localhost:8000``. No port is opened."""
        try:
            new = Publication(listen_host, listen_port, self)
            refused = self._objection(listen_host) or await self._hall.table.take(new, _is_alive)
        except Exception:
            log.exception("relay.failed")
            raise
        if refused:
            log.warning("relay.name_refused", name=listen_host[:64], client=self.client, reason=refused)
            self._tell(name=listen_host, refused=refused)
            return False
        self._hall.counts["published"] += 1
        log.info("relay.published", name=new.name, client=self.client)
        self._tell(name=new.name, url=self._hall.url_of(new.name))
        return Published(self._hall, new)

    def _objection(self, name: str) -> str:
        record = self._hall.clients.find(self.client)
        if self._hall.draining:
            return "The relay is about to stop."
        if not is_name(name):
            return f"{name!r} is no name: letters, digits and hyphens, as in a host name."
        if record is None or not record.may_publish(name):
            return f"The name {name!r} is not one of {self.client!r}."
        if record.max_names and self._hall.table.count(self.client) >= record.max_names:
            return f"{self.client!r} may publish {record.max_names} names at a time."
        return ""

    def _tell(self, **facts: str) -> None:
        # A debug message: clients that do not know it, such as OpenSSH's, show it with -v.
        self.connection.send_debug(msgspec.json.encode({"prism": facts}).decode())

    def end(self, reason: str) -> None:
        """End the connection and all that goes over it."""
        log.info("relay.ended", client=self.client, reason=reason)
        self.connection.disconnect(asyncssh.DISC_SERVICE_NOT_AVAILABLE, reason)
        self.connection.abort()


class Published(asyncssh.SSHListener):
    """What asyncssh keeps of a name: it is closed when the laptop withdraws it."""

    def __init__(self, hall: Hall, publication: Publication) -> None:
        super().__init__()
        self._hall, self._publication = hall, publication

    def get_port(self) -> int:
        """Return the port that was asked for; none was opened."""
        return self._publication.port or 80

    def close(self) -> None:
        """Withdraw the name."""
        self._hall.table.drop(self._publication)

    async def wait_closed(self) -> None:
        """Return: there is nothing to wait for."""


async def _is_alive(publication: Publication) -> bool:
    """Return whether an old connection still answers: by asking it for a channel."""
    ask = asyncio.ensure_future(_ask(publication))
    done, _ = await asyncio.wait([ask], timeout=ALIVE_S)
    return bool(done)


async def _ask(publication: Publication) -> None:
    connection = publication.publisher.connection
    try:
        channel, _ = await connection.create_connection(
            asyncssh.SSHTCPSession, publication.name, publication.port
        )
        channel.abort()
    except (asyncssh.Error, OSError):
        pass  # a refusal is an answer, too
