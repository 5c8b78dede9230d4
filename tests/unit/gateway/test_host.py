"""A server as its frontends see it: real models and a real door, no replica."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from prism_core import __version__
from prism_core.errors import ModelFailed, ModelNotFound, Overloaded
from prism_core.gateway.auditing import _actor
from prism_core.gateway.callers.door import ENTRY, Door, Entry
from prism_core.gateway.host import GatewayHost
from prism_core.gateway.lane import Prediction
from prism_core.gateway.lifecycle import State
from prism_core.gateway.registry import Model, Registry, Version
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.sender import Sender
from prism_core.plugin import NOBODY, Caller, reference_to
from prism_core.specs import Call
from tests.unit.gateway.conftest import SIGNATURE, AnsweringLane, ignore, manifest_of

ONE = Caller("key:1", models=frozenset({"churn"}))


class Audit:
    """Takes entries."""

    def __init__(self):
        self.entries = []

    async def note(self, action, subject="", **facts):
        self.entries.append((action, _actor.get().address))


class Keeper:
    """Knows one caller, and counts what was given back."""

    def __init__(self):
        self.given_back = 0

    def of(self, headers):
        return ONE

    def knock(self, client):
        return b""

    def admit(self, call):
        return b"x-left: 1\r\n"

    def give_back(self, call):
        self.given_back += 1


def version(model, number, state=State.READY, **facts):
    manifest = manifest_of(model, number, **facts)
    lane = AnsweringLane(manifest, SIGNATURE, cache=None, record=ignore) if state is State.READY else None
    return Version(manifest, SIGNATURE if lane else None, state, lane=lane, error="secret at /home/me")


@pytest.fixture
def gateway():
    registry = Registry(ignore)
    churn = {n: version("churn", n, s) for n, s in ((1, State.READY), (2, State.READY), (3, State.FAILED))}
    fraud = {1: version("fraud", 1, row_independent=False)}
    registry.models = {
        "churn": Model("churn", 3, None, churn, {"champion": 1}),
        "fraud": Model("fraud", 1, None, fraud),
    }
    registry.refresh()
    return SimpleNamespace(
        registry=registry,
        door=Door(),
        audit=Audit(),
        token="of-the-owner",
        settled=asyncio.Event(),
        service=PredictService(registry),
    )


@pytest.fixture
def host(gateway):
    return GatewayHost(gateway)


def test_it_tells_when_what_is_to_be_served_is_there(gateway, host):
    assert not host.settled()
    gateway.settled.set()
    assert host.settled()
    assert host.version == __version__


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("churn", 2),
        ("churn@latest", 2),
        ("churn@champion", 1),
        ("churn/1", 1),
        ("churn/3", 3),
        ("fraud", 1),
    ],
)
def test_a_reference_means_a_version_in_whatever_state(host, reference, found):
    assert host.find(reference).version == found


@pytest.mark.parametrize(
    "reference", ["chrn", "churn@champ", "churn/4", "churn/x", "churn/", "churn@", "", "churn@champion/3"]
)
def test_what_means_nothing_is_not_found(host, reference):
    if reference in ("churn/", "churn@"):  # no more than the name
        assert host.find(reference).version == 2
        return
    with pytest.raises(ModelNotFound):
        host.find(reference)


def test_a_version_tells_what_it_is(host):
    found = host.find("churn/2")

    assert (found.model, found.state, found.ready, found.reason) == ("churn", "READY", True, "")
    assert (found.loader, found.aliases, found.signature) == ("toy", ("latest",), SIGNATURE)
    assert found.max_batch_rows == manifest_of().batching.max_batch_rows
    assert host.find("fraud").max_batch_rows == 0


@pytest.mark.parametrize("let_in", [True, False])
async def test_who_asks_is_told_where_a_route_asks(gateway, host, let_in):
    """Behind a door it knows whom a proxy asks for, and whose key it was."""
    asked = []

    class Curious:
        async def predict(self, head, body, timeout_s, request, sender):
            asked.append(sender())

    gateway.registry.lanes = {"churn": Curious()}
    call = Call("churn", "predict", {}, "10.0.0.7", 0, ONE)
    await host.predict(
        "churn", b"[]", headers={"x-user": "7"}, client="::1", admitted=Entry(call) if let_in else None
    )

    assert asked == [
        Sender({"x-user": "7"}, "10.0.0.7", "key:1") if let_in else Sender({"x-user": "7"}, "::1")
    ]


def test_a_reason_is_for_anybody(host):
    """What a loader said may quote a path: that is for the owner."""
    failed = host.find("churn/3")

    assert not failed.ready
    assert "FAILED" in failed.reason
    assert "secret" not in str(failed)


def test_all_versions_are_those_that_a_caller_may_see(host):
    assert [(v.model, v.version) for v in host.served()] == [
        ("churn", 1),
        ("churn", 2),
        ("churn", 3),
        ("fraud", 1),
    ]
    assert {v.model for v in host.served(ONE)} == {"churn"}


def test_who_asks_is_known_by_the_scope(host):
    entry = host.enter("churn", "predict", {}, "10.0.0.1")

    assert host.caller({ENTRY: entry}) == NOBODY
    assert host.caller({}) == NOBODY


def test_the_door_lets_in_and_hears_what_failed(gateway, host):
    keeper = Keeper()
    gateway.door = Door(identity=keeper, limiter=keeper)

    admitted = host.enter("churn", "predict", {}, "10.0.0.1")

    assert (admitted.caller, admitted.lines) == (ONE, b"x-left: 1\r\n")
    assert host.failed(admitted, full := Overloaded("Full.")) is full
    assert keeper.given_back == 1
    assert host.failed(admitted, ModelNotFound("None.", hint="Did you mean 'fraud'?")).hint == ""


@pytest.mark.parametrize("error", [RuntimeError("secret"), ModelFailed("It raised.")])
def test_a_fault_has_an_id_that_its_sender_is_told(host, error):
    told = host.failed(host.enter("churn", "predict", {}, ""), error)

    assert told.status == 500
    assert len(told.details["error_id"]) == 12
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("given", "client", "owner"),
    [
        ("Bearer of-the-owner", "127.0.0.1", True),
        ("bearer  of-the-owner", "::1", True),
        ("Bearer of-the-owner", "::ffff:127.0.0.1", True),
        ("Bearer of-the-owner", "10.0.0.1", False),
        ("Bearer of-the-owner", "", False),
        ("Bearer of-the-owner2", "127.0.0.1", False),
        ("Bearer ", "127.0.0.1", False),
        ("Basic of-the-owner", "127.0.0.1", False),
        ("of-the-owner", "127.0.0.1", False),
    ],
)
async def test_the_owner_is_who_has_the_token_here(gateway, host, given, client, owner):
    assert host.is_owner({"authorization": given}, client) == owner
    assert (_actor.get() is not None) == owner
    await asyncio.sleep(0)
    tried = given.strip().partition(" ")[2] != "" and not owner
    assert gateway.audit.entries == ([("admin.refused", client)] if tried else [])


@pytest.mark.parametrize("header", ["forwarded", "via", "x-forwarded-for", "x-real-ip"])
async def test_the_owner_is_not_behind_a_proxy(host, header):
    told = {"authorization": "Bearer of-the-owner", header: "127.0.0.1"}

    assert not host.is_owner(told, "127.0.0.1")


async def test_nobody_owns_a_server_without_a_token(gateway, host):
    gateway.token = ""

    assert not host.is_owner({"authorization": "Bearer x"}, "127.0.0.1")
    assert not host.is_owner({}, "127.0.0.1")


async def test_predictions_come_from_the_lane(gateway, host, monkeypatch):
    told = []

    async def predict(lane, head, body, timeout_s=0.0, request="", sender=None):
        told.append((lane.version, head.media_type, head.accept, head.cached, body, timeout_s, request))
        return Prediction(b"[]", head.accept, lane.model, lane.version, 1)

    monkeypatch.setattr(AnsweringLane, "predict", predict)

    answer = await host.predict(
        "churn@champion", b"x", media_type="a/b", accept="c/d", timeout_s=2.0, request="r-1"
    )
    await host.predict("churn", b"x", no_store=True)

    assert (answer.body, answer.version, answer.media_type) == (b"[]", 1, "c/d")
    assert told == [(1, "a/b", "c/d", True, b"x", 2.0, "r-1"), (2, "", "", False, b"x", 0.0, "")]


async def test_no_prediction_is_why(host):
    with pytest.raises(ModelNotFound):
        await host.predict("chrn", b"")


@pytest.mark.parametrize("verb", ["start", "stop"])
async def test_the_owner_changes_what_is_served(gateway, host, verb):
    called = []

    async def change(*call):
        called.append(call)

    setattr(gateway, verb, change)

    await getattr(host, verb)("churn", 2)

    assert called == [("churn", 2)]


@pytest.mark.parametrize(
    ("model", "version", "reference"),
    [
        ("churn", "", "churn"),
        ("churn@champion", "", "churn@champion"),
        ("churn", "3", "churn/3"),
        ("churn", "03", "churn/3"),
        ("churn", "champion", "churn@champion"),
        ("churn", "3a", "churn@3a"),
        ("churn", "٣", "churn@٣"),
        ("churn", "9" * 10_000, "churn@" + "9" * 10_000),
    ],
)
def test_a_version_in_a_path_is_a_number_or_an_alias(model, version, reference):
    assert reference_to(model, version) == reference


@pytest.mark.parametrize("model", ["churn/3", "/s/k3m9x2p7qa", "/"])
def test_a_name_is_no_reference_by_itself(model):
    """A message may name anything; a path cannot."""
    with pytest.raises(ModelNotFound, match="no slash"):
        reference_to(model, "3")
