"""The parts of a relay that are functions of values: names, buckets, tokens, and who has which name."""

import asyncio
import ipaddress
import stat

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.plugin import ConfigError
from prism_tunnel.relay import clients
from prism_tunnel.relay.buckets import Bucket
from prism_tunnel.relay.clients import Client, Clients
from prism_tunnel.relay.heads import Visit, is_within
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.naming import Wanted, host_of, is_name, may_have, wanted
from prism_tunnel.relay.table import Publication, Table
from prism_tunnel.relay.valves import Valve

DOMAIN = "links.example.org"


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (b"ann.links.example.org", "ann.links.example.org"),
        (b"ANN.links.Example.org:8443", "ann.links.example.org"),
        (b"ann.links.example.org.", "ann.links.example.org"),
        (b"", None),
        (b"ann.links.example.org:", None),
        (b"ann.links.example.org:http", None),
        (b"ann@links.example.org", None),
        (b"ann.links.example.org/x", None),
        (b"ann.links.example.org, bob.links.example.org", None),
        (b"[::1]", None),
        (b"\xff.links.example.org", None),
    ],
)
def test_the_host_of_a_header(header, host):
    assert host_of(header) == host


@pytest.mark.parametrize(
    ("host", "target", "paths", "whom"),
    [
        (f"ann.{DOMAIN}", b"/s/x", False, Wanted("ann", b"/s/x")),
        (f"ann.{DOMAIN}", b"/bob/s/x", True, Wanted("ann", b"/bob/s/x")),
        (f"a.b.{DOMAIN}", b"/", False, None),
        (f"-ann.{DOMAIN}", b"/", False, None),
        ("ann.example.org", b"/", False, None),
        (f"ann{DOMAIN}", b"/", False, None),
        (DOMAIN, b"/ann/s/x", False, None),
        (DOMAIN, b"/ann/s/x?a=/b/", True, Wanted("ann", b"/s/x?a=/b/", "/ann")),
        (DOMAIN, b"/ann/", True, Wanted("ann", b"/", "/ann")),
        (DOMAIN, b"/ann", True, Wanted("ann", b"/", "/ann")),
        (DOMAIN, b"/ann?/", True, Wanted("ann", b"/?/", "/ann")),
        (DOMAIN, b"//ann/", True, None),
    ],
)
def test_whom_a_request_is_for(host, target, paths, whom):
    assert wanted(host, target, DOMAIN, paths=paths) == whom


@given(st.text(max_size=70))
def test_a_name_is_one_label_of_a_host(text):
    if is_name(text):
        assert host_of(f"{text}.{DOMAIN}".encode()) == f"{text}.{DOMAIN}"
        assert wanted(f"{text}.{DOMAIN}", b"/", DOMAIN, paths=False) == Wanted(text, b"/")


@pytest.mark.parametrize(
    ("name", "patterns", "may"),
    [
        ("ann", ("ann",), True),
        ("anna", ("ann",), False),
        ("ann-1", ("bob", "ann-*"), True),
        ("ann-", ("ann-*",), False),
        ("bann-1", ("ann-*",), False),
        ("ann", (), False),
    ],
)
def test_which_names_a_client_may_have(name, patterns, may):
    assert may_have(name, patterns) is may


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.integers(1, 10))
def test_a_bucket_never_lets_more_through_than_it_says(pauses, per_s, burst):
    bucket, now, taken = Bucket(per_s, burst), 100.0, []
    for pause in pauses:
        now += pause
        short = bucket.take(now)
        if short:
            assert bucket.take(now + short + 1e-6) == 0
            now += short + 1e-6
        taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + per_s * (taken[last] - start) + 1e-3


def test_what_is_owed_is_waited_for():
    bucket = Bucket(100, 100)

    assert bucket.owe(0.0, 100) == 0
    assert bucket.owe(0.0, 50) == pytest.approx(0.5)
    assert bucket.owe(1.0, 0) == 0


def test_a_valve_is_open_while_nothing_is_against_it():
    said = []
    valve = Valve(lambda: said.append("pause"), lambda: said.append("resume"))

    valve.hold("a")
    valve.hold("b")
    valve.hold("a")
    valve.release("a")
    assert said == ["pause"]
    valve.release("b")
    valve.release("b")

    assert said == ["pause", "resume"]


JOIN = Join("links.example.org", 2222, "ann", "tok-en_1", "SHA256:" + "Ab+/" * 10 + "abc")


@pytest.mark.parametrize(
    "join", [JOIN, attrs.evolve(JOIN, host="2001:db8::1"), attrs.evolve(JOIN, token="a/b:c@d")]
)
def test_a_join_string_says_all(join):
    assert Join.parse(f" {join}\n") == join
    assert join.token not in repr(join)


@pytest.mark.parametrize(
    "change",
    [
        ("prism-relay:", "https:"),
        (":2222", ""),
        (":2222", ":99999"),
        ("ann:", ""),
        (":tok-en_1", ""),
        ("SHA256:", "MD5:"),
        ("abc", "ab"),
    ],
)
def test_what_is_not_all_of_a_join_string_is_none(change):
    """And the message does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        Join.parse(str(JOIN).replace(*change))

    assert "tok-en" not in caught.value.message + caught.value.hint


NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("192.0.2.1", False),
        ("", False),
    ],
)
def test_an_address_in_a_network(address, within):
    assert is_within(address, NETWORKS) is within
    assert bool(Visit.of(address, "http", NETWORKS).proxies) is within


# Clients in a file.


def client(name, token="secret", **said):
    plain = Client(name, clients.digest_of(token), ("ssh-ed25519 AAAA",), (name,), "", 0, 0, 0, 1.0, 0.0)
    return Client(**{field: said.get(field, getattr(plain, field)) for field in Client.__struct_fields__})


def test_a_client_is_known_by_its_token_or_key_while_it_lasts(tmp_path):
    path = tmp_path / "relay" / "clients.json"
    clients.add(path, client("ann", expires=100.0))
    found = Clients(path)

    assert found.holds_token("ann", "secret", 50)
    assert not found.holds_token("ann", "secret", 100)
    assert not found.holds_token("ann", "Secret", 50)
    assert not found.holds_token("ann", "", 50)
    assert not found.holds_token("bob", "secret", 50)
    assert found.holds_key("ann", "ssh-ed25519 AAAA", 50)
    assert not found.holds_key("ann", "ssh-ed25519 AAAA", 100)
    assert not found.holds_key("ann", "ssh-ed25519 BBBB", 50)


def test_a_client_without_a_token_is_not_let_in_by_an_empty_one(tmp_path):
    clients.add(tmp_path / "c.json", client("ann", digest=""))

    assert not Clients(tmp_path / "c.json").holds_token("ann", "", 50)


def test_no_token_is_in_the_file_and_nobody_else_reads_it(tmp_path):
    token = clients.new_token()
    clients.add(tmp_path / "c.json", client("ann", token))

    assert token not in (tmp_path / "c.json").read_text()
    assert stat.S_IMODE((tmp_path / "c.json").stat().st_mode) == 0o600
    assert len(token) >= 43


def test_a_change_is_seen_when_it_is_looked_for(tmp_path):
    path = tmp_path / "c.json"
    found = Clients(path)
    clients.add(path, client("ann"))
    assert found.find("ann") is None

    assert found.look()
    assert not found.look()
    assert found.find("ann") == client("ann")
    clients.remove(path, "ann")
    assert found.look()
    assert found.find("ann") is None


def test_a_damaged_file_changes_nothing(tmp_path):
    path = tmp_path / "c.json"
    clients.add(path, client("ann"))
    found = Clients(path)
    path.write_text("[{")

    with pytest.raises(ConfigError):
        found.look()
    assert found.find("ann")


def test_a_name_is_taken_once(tmp_path):
    clients.add(tmp_path / "c.json", client("ann"))
    with pytest.raises(ConfigError, match="already"):
        clients.add(tmp_path / "c.json", client("ann"))
    with pytest.raises(ConfigError, match="no client 'bob'"):
        clients.remove(tmp_path / "c.json", "bob")


# Who has which name.


@attrs.define(eq=False)
class Laptop:
    client: str
    instance: str = ""
    ended: str = ""

    def end(self, reason):
        self.ended = reason


async def alive(_):
    return True


async def dead(_):
    return False


async def never(_):
    raise AssertionError("it was not to be asked")


@pytest.mark.parametrize(
    ("old", "new", "asked", "refused"),
    [
        (Laptop("ann", "1"), Laptop("ann", "1"), never, ""),
        (Laptop("ann", "1"), Laptop("ann", "2"), dead, ""),
        (Laptop("ann", "1"), Laptop("ann", "2"), alive, "in use by another connection"),
        (Laptop("ann"), Laptop("ann"), alive, "in use by another connection"),
        (Laptop("ann"), Laptop("ann"), dead, ""),
        (Laptop("ann", "1"), Laptop("bob", "1"), never, "in use by another client"),
    ],
)
async def test_who_gets_a_name(old, new, asked, refused):
    table = Table()
    await table.take(Publication("x", 80, old), never)
    await table.take(Publication("y", 80, old), never)

    reason = await table.take(Publication("x", 80, new), asked)

    assert refused in reason
    assert bool(reason) is bool(refused)
    assert table.find("x").publisher is (old if refused else new)
    assert bool(old.ended) is not bool(refused)
    # Of a connection that is dead all names are free.
    assert [one.name for one in table.of(old)] == (["x", "y"] if refused else [])


async def test_an_old_connection_takes_no_name_with_it():
    table = Table()
    old, new = Publication("x", 80, Laptop("ann", "1")), Publication("x", 80, Laptop("ann", "1"))
    await table.take(old, never)
    await table.take(new, never)
    table.drop(old)

    assert table.find("x") is new
    assert (len(table), table.count("ann")) == (1, 1)
    table.drop(new)
    assert (len(table), table.count("ann")) == (0, 0)


async def test_of_several_that_wait_for_an_answer_one_gets_the_name():
    table, asked = Table(), asyncio.Event()

    async def slow(_):
        await asked.wait()
        return False

    await table.take(Publication("x", 80, Laptop("ann", "0")), never)
    tasks = [
        asyncio.create_task(table.take(Publication("x", 80, Laptop("ann", str(n))), slow)) for n in (1, 2)
    ]
    await asyncio.sleep(0)
    asked.set()
    assert await asyncio.gather(*tasks) == ["", ""]

    assert len(table) == 1
