"""Public services. No service is asked here: a fake SSH server prints what their documentation shows.

The fake is honest otherwise: it lets in as they do, listens and passes on for real. Its addresses
are in no DNS, so a visitor is sent to the port that stands for them.
"""

import asyncio
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import asyncssh
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.plugin import TunnelFailed, TunnelRefused
from prism_core.testing import TunnelContract
from prism_tunnel.config import ServiceConfig
from prism_tunnel.ssh.hosts import KnownHosts, shown
from prism_tunnel.ssh.linker import open_service
from prism_tunnel.ssh.services import SERVICES
from prism_tunnel.text import plain

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
# What each prints, from its documentation and from what its users show; {name} is the tunnel's.
SAYS = {
    # https://localhost.run/docs/, https://github.com/ropensci/ssh/issues/48
    "localhost.run": (
        "\r\n" + "=" * 79 + "\r\nWelcome to localhost.run!\r\n\r\n"
        "** your connection id is 26493725-4c74-4375-94c1-293a63b33a18, please mention it if you send me "
        "a message about an issue. **\r\n\r\nauthenticated as anonymous user\r\n"
        "{name}.lhr.life tunneled with tls termination, https://{name}.lhr.life\r\n"
        "create an account and add your key for a longer lasting domain name. see "
        "https://localhost.run/docs/forever-free/ for more information.\r\n"
    ),
    # https://pinggy.io/docs/usages/, https://pinggy.io/docs/api/web_debugger_api/
    "pinggy": (
        "You are not authenticated.\r\nYour tunnel will expire in 60 minutes. Upgrade to Pinggy Pro to get "
        "unrestricted tunnels. https://dashboard.pinggy.io\r\n\r\n"
        "http://{name}-2405-201-9018.a.free.pinggy.link\r\n"
        "https://{name}-2405-201-9018.a.free.pinggy.link\r\n"
    ),
    # https://serveo.net/ (its lines are coloured)
    "serveo": (
        "\x1b[32mForwarding HTTP traffic from \x1b[0m\x1b[36mhttps://{name}.serveo.net\x1b[0m\r\n"
        "Press g to start a GUI session and ctrl-c to quit.\r\n"
    ),
}
DOORS = {"localhost.run": "none", "pinggy": "password", "serveo": "kbdint"}


@attrs.define
class Fake:
    """A service that plays the one of the name; ``ports`` are where its tunnels are reached."""

    service: str
    says: str
    port: int = 0
    ports: dict[str, int] = attrs.Factory(dict)
    asked: list[tuple[str, int]] = attrs.Factory(list)
    connections: list[asyncssh.SSHServerConnection] = attrs.Factory(list)
    sessions: list[asyncssh.SSHServerProcess] = attrs.Factory(list)

    def config(self, known: KnownHosts) -> ServiceConfig:
        return ServiceConfig(
            host="127.0.0.1", port=self.port, known_hosts=(), data_dir=str(known.own.parents[1]), connect_s=5
        )


class Visitor(asyncssh.SSHServer):
    """One who logs in at a fake service, the way that service lets in."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def connection_made(self, conn):
        self.conn = conn
        self.fake.connections.append(conn)

    def begin_auth(self, username):
        return DOORS[self.fake.service] != "none"

    def password_auth_supported(self):
        return DOORS[self.fake.service] == "password"

    def validate_password(self, username, password):
        return password == ""

    def kbdint_auth_supported(self):
        return DOORS[self.fake.service] == "kbdint"

    def get_kbdint_challenge(self, username, lang, submethods):
        return ("", "", "", [])

    def validate_kbdint_response(self, username, responses):
        return True

    async def server_requested(self, listen_host, listen_port):
        self.fake.asked.append((listen_host, listen_port))
        name = f"tunnel{len(self.fake.asked)}"
        leading = Leading(self.conn, listen_host, listen_port)
        await leading.listen()
        self.fake.ports[name] = leading.port
        return leading


class Leading(asyncssh.SSHListener):
    """A port of 127.0.0.1 that leads through a tunnel."""

    def __init__(self, conn, host, asked):
        super().__init__()
        self.conn, self.host, self.asked = conn, host, asked

    async def listen(self):
        self.server = await asyncio.start_server(self.visit, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def visit(self, reader, writer):
        with suppress(asyncssh.Error, OSError):
            inward, outward = await self.conn.open_connection(self.host, self.asked)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, outward))
                group.create_task(pump(inward, writer))
        writer.close()

    def get_port(self):
        return self.asked or self.port

    def close(self):
        self.server.close()

    async def wait_closed(self):
        pass


async def pump(reader, writer):
    with suppress(asyncssh.Error, OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def serving(service, says=None, *, ends=False):
    """Run a fake service."""
    fake = Fake(service, SAYS[service] if says is None else says)

    async def session(process):
        fake.sessions.append(process)
        process.stdout.write(fake.says.replace("{name}", f"tunnel{len(fake.asked)}"))
        if ends:
            process.exit(0)
        await process.wait_closed()

    server = await asyncssh.create_server(
        lambda: Visitor(fake), "127.0.0.1", 0, server_host_keys=[HOST_KEY], process_factory=session
    )
    async with server:
        fake.port = server.get_port()
        yield fake
        for connection in fake.connections:
            connection.abort()


def row(name):
    return next(one for one in SERVICES if one.name == name)


def trusting(tmp_path, fake):
    known = KnownHosts.of(str(tmp_path), ())
    known.remember(shown("127.0.0.1", fake.port, HOST_KEY))
    return known


@asynccontextmanager
async def opened(tmp_path, service, says=None, *, ends=False, **changes):
    """Run a fake service whose host key was trusted, and open its provider."""
    async with serving(service, says, ends=ends) as fake:
        config = attrs.evolve(fake.config(trusting(tmp_path, fake)), **changes)
        async with open_service(config, row(service)) as linker:
            yield fake, linker


class ServiceContract(TunnelContract):
    service = ""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.place = tmp_path

    @asynccontextmanager
    async def open(self):
        async with opened(self.place, self.service) as (self.fake, linker):
            yield linker

    async def connect(self, url):
        name = urlsplit(url).hostname.partition(".")[0].partition("-")[0]
        return await asyncio.open_connection("127.0.0.1", self.fake.ports[name])

    async def lose(self, linker):
        self.fake.connections[-1].abort()


class TestLocalhostRun(ServiceContract):
    service = "localhost.run"


class TestPinggy(ServiceContract):
    service = "pinggy"


class TestServeo(ServiceContract):
    service = "serveo"


@pytest.mark.parametrize(
    ("service", "url", "asked"),
    [
        ("localhost.run", "https://tunnel1.lhr.life", ("", 80)),
        ("pinggy", "https://tunnel1-2405-201-9018.a.free.pinggy.link", ("", 0)),
        ("serveo", "https://tunnel1.serveo.net", ("", 80)),
    ],
)
async def test_the_printed_address_is_the_links(tmp_path, listener, service, url, asked):
    async with opened(tmp_path, service) as (fake, linker):
        assert await linker.publish(listener) == url
        assert fake.asked == [asked]


async def test_nobody_is_trusted_before_the_owner_did(tmp_path, listener):
    async with opened(tmp_path, "serveo", data_dir=str(tmp_path / "other")) as (fake, linker):
        with pytest.raises(TunnelRefused, match="is not known") as caught:
            await linker.publish(listener)

        assert caught.value.hint.endswith(f"prism tunnel trust 127.0.0.1:{fake.port}")


async def test_no_key_of_ours_is_offered(tmp_path, listener, monkeypatch):
    """Whom we are elsewhere is not a stranger's affair."""
    (tmp_path / ".ssh").mkdir()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / ".ssh" / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    offered = []
    monkeypatch.setattr(Visitor, "public_key_auth_supported", lambda self: True)
    monkeypatch.setattr(Visitor, "validate_public_key", lambda self, user, key: offered.append(key))
    async with opened(tmp_path, "pinggy") as (_, linker):
        await linker.publish(listener)

    assert offered == []


async def test_a_token_is_who_we_are(tmp_path, listener):
    async with opened(tmp_path, "pinggy", token="s3cret") as (fake, linker):
        await linker.publish(listener)

        assert fake.connections[-1].get_extra_info("username") == "s3cret"


def test_a_token_is_not_shown():
    assert "s3cret" not in repr(ServiceConfig(token="s3cret"))


async def test_a_service_that_ends_the_session_says_why(tmp_path, listener):
    says = "Too many tunnels are open.\r\nUpgrade your plan.\r\n"
    async with opened(tmp_path, "serveo", says, ends=True) as (_, linker):
        with pytest.raises(TunnelFailed, match=r"Too many tunnels are open\. / Upgrade your plan\."):
            await linker.publish(listener)


async def test_a_service_that_prints_no_address_is_not_waited_for_for_ever(tmp_path, listener):
    async with opened(tmp_path, "serveo", "We have moved.\r\n", connect_s=0.3) as (_, linker):
        with pytest.raises(TunnelFailed, match=r"told no address in time: We have moved\."):
            await linker.publish(listener)


async def test_a_session_that_ends_is_the_tunnels_end(tmp_path, listener):
    async with opened(tmp_path, "serveo") as (fake, linker):
        await linker.publish(listener)
        broken = asyncio.create_task(linker.broken())
        fake.sessions[-1].exit(0)

        assert "ended the session" in await broken
        assert "ended the session" in await linker.health()


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ("localhost.run", "see https://localhost.run/docs/forever-free/ for more"),
        ("pinggy", "Upgrade: https://dashboard.pinggy.io and http://a.free.pinggy.link"),
        ("pinggy", "https://abc.pinggy.link.example.org"),
        ("serveo", "Documentation: https://serveo.net"),
    ],
)
def test_other_addresses_are_not_taken_for_the_links(service, text):
    assert row(service).announced.search(text) is None


@pytest.mark.parametrize("service", SERVICES, ids=[one.name for one in SERVICES])
def test_a_service_is_told_with_whom_to_trust(service):
    assert service.about().startswith("a public service by SSH: prism tunnel trust ")


def test_a_flood_of_text_is_bounded():
    from prism_tunnel.ssh.announcing import KEPT_CHARS, Announcement

    session = Announcement("x")
    session._text.extend("a" * 10 * KEPT_CHARS)

    assert len(session._text) == KEPT_CHARS
    assert len(session.tail()) <= 300


async def test_a_name_that_is_not_given_is_refused(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(Visitor, "server_requested", lambda self, host, port: False)
    async with opened(tmp_path, "serveo", name="taken") as (_, linker):
        with pytest.raises(TunnelRefused) as caught:
            await linker.publish(listener)

    assert caught.value.hint == "https://serveo.net/ says what it gives to whom."


@given(st.text())
def test_no_sign_to_a_terminal_is_left(text):
    assert not [sign for sign in plain(text) if sign < " " and sign not in "\t\n"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\r\nb\x00\x08", "a\nb"),
        ("\tindented", "\tindented"),
    ],
)
def test_terminal_sequences_are_no_text(text, said):
    assert plain(text) == said
