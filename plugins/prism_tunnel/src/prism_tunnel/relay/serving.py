"""Open a relay: its listeners, its host key, its metrics; and close it without cutting answers off."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import attrs
import msgspec
import structlog

from prism_core.plugin import ConfigError
from prism_tunnel.relay.certificates import Certificate
from prism_tunnel.relay.clients import Clients, write_private
from prism_tunnel.relay.control import listening
from prism_tunnel.relay.hall import Hall, RelaySettings
from prism_tunnel.relay.metrics import serving_metrics
from prism_tunnel.relay.publishers import Publisher
from prism_tunnel.relay.visitors import Visitor
from prism_tunnel.ssh.connecting import CIPHERS

Listening = TypeVar("Listening")

log = structlog.get_logger("prism.relay")

# Between two looks at visitors' deadlines, and at files.
SWEEP_S, LOOK_S = 1.0, 2.0
# A laptop that answers nothing for twice as long is away.
KEEPALIVE_S, KEEPALIVE_COUNT = 10.0, 2
LOGIN_S = 15.0


@attrs.frozen
class Place:
    """The files of a relay in its data directory."""

    directory: Path

    @property
    def clients(self) -> Path:
        """Who may publish."""
        return self.directory / "clients.json"

    @property
    def host_key(self) -> Path:
        """What laptops know the relay by."""
        return self.directory / "host_key"

    @property
    def facts(self) -> Path:
        """What join strings are made of."""
        return self.directory / "relay.json"

    @property
    def control(self) -> Path:
        """Where commands reach it."""
        return self.directory / "control.sock"

    def key(self) -> asyncssh.SSHKey:
        """Return the host key; it is made the first time."""
        if not self.host_key.exists():
            made = asyncssh.generate_private_key("ssh-ed25519", "prism relay")
            write_private(self.host_key, made.export_private_key())
        return asyncssh.read_private_key(self.host_key)


@attrs.frozen
class Open:
    """A relay that runs: the ports that it really has."""

    hall: Hall
    ssh_port: int
    http_port: int | None
    https_port: int | None
    metrics_port: int | None
    fingerprint: str


@asynccontextmanager
async def open_relay(settings: RelaySettings, place: Place) -> AsyncIterator[Open]:
    """Run a relay; at the end it drains.

    Raises
    ------
    ConfigError
        If a port or a file cannot be used.
    """
    hall = Hall(settings, Clients(place.clients))
    certificate = _certificate(settings)
    key = place.key()
    with serving_metrics(hall, settings.metrics_port) as metrics_port:
        doors = await _open_doors(hall, certificate)
        hall.base = base_url(settings, doors)
        acceptor = await _open_ssh(hall, key)
        relay = Open(
            hall,
            acceptor.get_port(),
            _port(doors, "http"),
            _port(doors, "https"),
            metrics_port,
            key.get_fingerprint(),
        )
        log.info("relay.open", url=hall.base, ssh_port=relay.ssh_port, fingerprint=relay.fingerprint)
        _write_facts(place, relay)
        tasks = [asyncio.create_task(_sweep(hall)), asyncio.create_task(_look(hall, certificate))]
        try:
            async with listening(place.control, lambda: look(hall)):
                yield relay
                await _drain(hall, doors, acceptor)
        finally:
            for task in tasks:
                task.cancel()
            _end(hall, doors, acceptor)


def read_facts(place: Place) -> dict[str, Any]:
    """Return the domain, SSH port and fingerprint of the relay of a directory.

    Raises
    ------
    ConfigError
        If there was none.
    """
    try:
        return dict(msgspec.json.decode(place.facts.read_bytes()))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no relay in {place.directory}.",
            hint="Start one first: prism relay serve --domain NAME",
        ) from None


def _write_facts(place: Place, relay: Open) -> None:
    facts = {
        "domain": relay.hall.settings.domain,
        "ssh_port": relay.ssh_port,
        "fingerprint": relay.fingerprint,
    }
    write_private(place.facts, msgspec.json.encode(facts))


def _certificate(settings: RelaySettings) -> Certificate | None:
    if settings.cert is None or settings.https_port is None:
        return None
    return Certificate.load(settings.cert, settings.key or settings.cert)


async def _open_doors(hall: Hall, certificate: Certificate | None) -> dict[str, asyncio.Server]:
    settings, doors = hall.settings, {}
    if settings.http_port is not None:
        secure = certificate is not None
        doors["http"] = await _bound(
            _listen(hall, settings.http_port, lambda: Visitor(hall, "http", redirect=secure)),
            settings.http_port,
        )
    if certificate is not None and settings.https_port is not None:
        doors["https"] = await _bound(
            _listen(hall, settings.https_port, lambda: Visitor(hall, "https"), certificate.context),
            settings.https_port,
        )
    return doors


async def _listen(
    hall: Hall, port: int, visitor: Callable[[], Visitor], context: ssl.SSLContext | None = None
) -> asyncio.Server:
    patience: dict[str, Any] = (
        {"ssl": context, "ssl_handshake_timeout": hall.settings.head_s} if context else {}
    )
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        visitor, hall.settings.http_host or hall.settings.host or None, port, backlog=1024, **patience
    )


async def _open_ssh(hall: Hall, key: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
    return await _bound(
        asyncssh.create_server(
            lambda: Publisher(hall), hall.settings.host, hall.settings.ssh_port, server_host_keys=[key],
            encryption_algs=CIPHERS, compression_algs=None, login_timeout=LOGIN_S,
            keepalive_interval=KEEPALIVE_S, keepalive_count_max=KEEPALIVE_COUNT, server_version="PRISM_relay",
            kbdint_auth=False, gss_host=None, allow_pty=False, agent_forwarding=False, x11_forwarding=False,
            allow_scp=False,
        ),
        hall.settings.ssh_port,
    )  # fmt: skip


async def _bound(opening: Awaitable[Listening], port: int) -> Listening:
    try:
        return await opening
    except OSError as error:
        raise ConfigError(
            f"Port {port} cannot be listened on: {error.strerror}",
            hint="Another program has it; or, below 1024, it takes CAP_NET_BIND_SERVICE.",
        ) from error


def _port(doors: dict[str, asyncio.Server], name: str) -> int | None:
    return int(doors[name].sockets[0].getsockname()[1]) if name in doors else None


def base_url(settings: RelaySettings, doors: dict[str, asyncio.Server]) -> str:
    """Return the URL of the domain, as visitors write it."""
    if settings.public:
        return settings.public.rstrip("/")
    scheme = "https" if "https" in doors else "http"
    port = _port(doors, scheme)
    usual = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{settings.domain}" + ("" if port in (usual, None) else f":{port}")


def look(hall: Hall) -> int:
    """Read the clients again, and end the connections of those that are gone; return how many."""
    try:
        hall.clients.look()
    except ConfigError as error:
        log.error("relay.clients_not_loaded", reason=error.message)
    ended = 0
    for publisher in list(hall.publishers):
        record = hall.clients.find(publisher.client)
        if record is None or record.digest != publisher.digest or not record.is_good(hall.now()):
            publisher.end("The token was revoked or has expired.")
            ended += 1
    return ended


async def _sweep(hall: Hall) -> None:
    """End connections of visitors that have waited for too long."""
    while True:
        await asyncio.sleep(SWEEP_S)
        now = hall.clock()
        for visitor in [one for one in hall.visitors if one.deadline < now]:
            visitor.expire()


async def _look(hall: Hall, certificate: Certificate | None) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        look(hall)
        if certificate:
            certificate.look()


async def _drain(hall: Hall, doors: dict[str, asyncio.Server], acceptor: asyncssh.SSHAcceptor) -> None:
    """Take no more, and let what is being answered be answered, for a while."""
    hall.draining = True
    for door in doors.values():
        door.close()
    acceptor.close()
    for visitor in list(hall.visitors):
        visitor.hang_up()
    log.info("relay.draining", visitors=len(hall.visitors))
    if hall.visitors:
        with suppress(TimeoutError):
            await asyncio.wait_for(hall.empty.wait(), hall.settings.drain_s)


def _end(hall: Hall, doors: dict[str, asyncio.Server], acceptor: asyncssh.SSHAcceptor) -> None:
    for door in doors.values():
        door.close()
    acceptor.close()
    for visitor in list(hall.visitors):
        visitor.cut()
    for publisher in list(hall.publishers):
        publisher.end("The relay has stopped.")
    log.info("relay.closed")
