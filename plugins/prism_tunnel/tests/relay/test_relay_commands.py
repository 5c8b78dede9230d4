"""``prism relay``: what it takes, writes down and prints."""

import json
import logging
import stat
import urllib.request

import attrs
import pytest
import structlog
from click.testing import CliRunner

from prism_core.cli.app import app
from prism_tunnel.relay.joining import Join


@pytest.fixture(autouse=True)
def _log():
    """Leave no log that writes into what a command printed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.basicConfig(handlers=handlers, level=level, force=True)
    structlog.reset_defaults()


@pytest.fixture
def run(tmp_path):
    """Run ``prism relay ...`` with a data directory of the test's own."""

    def it(*words, code=0, **options):
        flags = ["--data-dir", str(options.pop("directory", tmp_path))]
        result = CliRunner().invoke(app, ["relay", *words, *flags], **options)
        assert result.exit_code == code, result.output
        return result

    return it


@pytest.fixture
def tell(run):
    """The same, for programs. What the relay logs meanwhile, in this process, is among what is printed."""

    def it(*words, **options):
        lines = run(*words, "--json", **options).stdout.splitlines()
        return json.loads(next(line for line in lines if line.startswith(("{", "["))))

    return it


@pytest.fixture
async def told(relay, tell):
    """Run a command in a thread, beside the relay."""
    import asyncio

    async def it(*words, **options):
        return await asyncio.to_thread(tell, *words, **options)

    return it


def test_there_is_no_token_without_a_relay(run):
    assert "There is no relay" in run("token", "create", "ann", code=1).stderr


async def test_a_join_string_holds_all_that_a_laptop_needs(relay, told):
    made = await told(
        "token", "create", "ann", "--name", "ann-*", "--rate", "5/s", "--bandwidth", "2MB", "--expires", "90d"
    )
    join = Join.parse(made["join"])

    assert (join.host, join.port, join.client) == ("links.test", relay.open.ssh_port, "ann")
    assert join.fingerprint == relay.open.fingerprint
    assert relay.hall.clients.find("ann").names == ("ann", "ann-*")
    assert (made["rate"], made["bytes_s"], made["max_connections"]) == ("5/s", 2 << 20, 1000)
    assert made["expires"] - made["created"] == pytest.approx(90 * 86_400, abs=5)


async def test_a_laptop_joins_once_it_could_log_in(relay, told, run, tmp_path):
    made = await told("token", "create", "ann", "--host", "127.0.0.1")
    home = tmp_path / "laptop"
    joined = await told("join", made["join"], directory=home)

    assert joined["client"] == "ann"
    assert (home / "relay" / "join").read_text().strip() == made["join"]
    assert stat.S_IMODE((home / "relay" / "join").stat().st_mode) == 0o600


async def test_a_join_string_may_come_from_standard_input(relay, told, tmp_path):
    made = await told("token", "create", "ann", "--host", "127.0.0.1")
    joined = await told("join", "-", directory=tmp_path / "laptop", input=made["join"])

    assert joined["client"] == "ann"


async def test_a_laptop_that_is_not_let_in_keeps_nothing(relay, told, run, tmp_path):
    import asyncio

    made = await told("token", "create", "ann", "--host", "127.0.0.1")
    await told("token", "revoke", "ann")
    home = tmp_path / "laptop"
    said = (await asyncio.to_thread(run, "join", made["join"], code=1, directory=home)).stderr

    assert "does not accept the login" in said
    assert not (home / "relay").exists()


async def test_a_client_that_is_revoked_is_gone_from_the_list_and_from_the_relay(relay, told, echo):
    async with relay.published(echo):
        before = await told("token", "list")
        revoked = await told("token", "revoke", "ann")
        after = await told("token", "list")

    assert [one["client"] for one in before] == ["ann"]
    assert revoked == {"revoked": "ann", "ended": 1}
    assert after == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("create", "Ann"), "'Ann' is no name"),
        (("create", "ann-*"), "'ann-*' is no name"),
        (("create", "ann", "--name", "*"), "'*' is no name"),
        (("create", "ann", "--rate", "often"), "--rate"),
        (("revoke", "nobody"), "There is no client 'nobody'"),
    ],
)
async def test_what_cannot_be_is_told(relay, run, words, says):
    assert says in run("token", *words, code=1).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--key", "x.pem"), "--cert"),
        (("--no-http",), "--cert"),
        (("--trust-proxy", "here"), "here"),
    ],
)
def test_what_a_relay_cannot_serve_is_told(run, words, says):
    assert says in run("serve", "--domain", "links.test", *words, code=2).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--domain", "https://links.test"), "is no domain"),
        (("--domain", "links.test", "--public", "links.test"), "is no URL"),
        (("--domain", "links.test", "--cert", "none.pem"), "cannot be used"),
    ],
)
def test_settings_that_contradict_are_told(run, words, says):
    assert says in run("serve", *words, code=1).stderr


class TestMetrics:
    """On loopback, for Prometheus."""

    @pytest.fixture
    def settings(self, settings):
        return attrs.evolve(settings, metrics_port=0)

    async def test_they_count(self, relay, echo):
        async with relay.published(echo):
            await relay.ask()
            await relay.ask(name="nobody")
            text = await self.read(relay)

        assert 'prism_relay_requests_total{client="ann"} 1.0' in text
        assert 'prism_relay_refused_total{status="404"} 1.0' in text
        assert "prism_relay_names 1.0" in text
        assert "prism_relay_visitors_total 2.0" in text
        assert 'prism_relay_bytes_total{client="ann",direction="out"}' in text

    async def read(self, relay):
        import asyncio

        url = f"http://127.0.0.1:{relay.open.metrics_port}/metrics"
        return await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
