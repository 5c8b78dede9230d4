"""The door asks from where, who, how often and the guards, in this order, and lets nobody past a refusal."""

import pytest

from prism_core.errors import Forbidden, InvalidInput, ModelNotFound, RateLimited, Unauthorized
from prism_core.gateway.callers.door import Door, Entry, discreet, pairs_of, told_of
from prism_core.specs import NOBODY, Call, Caller

ONE = Caller("key:1", models=frozenset({"churn"}))


class Parts:
    """All four parts of a door; ``refuses`` is the one that does, ``asked`` who was asked what."""

    def __init__(self, refuses=""):
        self.refuses = refuses
        self.asked = []

    def _ask(self, part, *what):
        self.asked.append((part, *what))
        if part == self.refuses:
            raise RateLimited(part)

    def door(self):
        return Door(addresses=Addresses(self), identity=Identity(self), limiter=self, guards=[self])

    def knock(self, client):
        self._ask("address", client)
        return b"ratelimit: 0\r\n"

    def admit(self, call):
        self._ask("limiter", call.client, call.caller)
        return b"ratelimit: 1\r\n"

    def check(self, call):
        self._ask("guard", call.client, call.caller)


class Addresses:
    def __init__(self, parts):
        self.parts = parts

    def of(self, client, headers):
        self.parts._ask("addresses", client)
        return "192.0.2.1"


class Identity:
    def __init__(self, parts):
        self.parts = parts

    def of(self, headers):
        self.parts._ask("identity", headers)
        return ONE


HEADERS = {"host": "prism.test"}
ORDER = ["addresses", "address", "identity", "limiter", "guard"]


def test_everybody_is_asked_in_order_with_what_is_known_by_then():
    parts = Parts()
    entry = parts.door().enter("churn@champion", "predict", HEADERS, "127.0.0.1", 7)

    assert parts.asked == [
        ("addresses", "127.0.0.1"),
        ("address", "192.0.2.1"),
        ("identity", HEADERS),
        ("limiter", "192.0.2.1", ONE),
        ("guard", "192.0.2.1", ONE),
    ]
    call = Call("churn@champion", "predict", HEADERS, "192.0.2.1", 7, ONE)
    assert entry == Entry(call, b"ratelimit: 0\r\nratelimit: 1\r\n")


@pytest.mark.parametrize("part", ORDER)
def test_nobody_is_asked_behind_a_refusal(part):
    parts = Parts(refuses=part)
    with pytest.raises(RateLimited, match=part):
        parts.door().enter("churn", "predict", HEADERS, "127.0.0.1")

    assert [asked[0] for asked in parts.asked] == ORDER[: ORDER.index(part) + 1]


def test_a_call_that_the_caller_may_not_make_is_counted_to_the_address_alone():
    parts = Parts()
    with pytest.raises(Forbidden, match="may not predict 'fraud/3'"):
        parts.door().enter("fraud/3", "predict", HEADERS, "")

    assert [asked[0] for asked in parts.asked] == ["addresses", "address", "identity"]


def test_a_door_that_asks_nothing_is_none_and_lets_nobody_in_particular_in():
    assert not Door()
    assert all(Door(**{part: object()}) for part in ("addresses", "identity", "limiter"))
    assert Door(guards=[object()])
    assert Door().enter("churn", "read", {}, "").call.caller is NOBODY


@pytest.mark.parametrize(
    ("models", "verb", "reference", "may"),
    [
        (None, "predict", "churn", True),
        (None, "read", "*", True),
        ({"churn"}, "predict", "churn", True),
        ({"churn"}, "predict", "churn@champion", True),
        ({"churn"}, "predict", "churn/3", True),
        ({"churn"}, "predict", "churn2", False),
        ({"churn"}, "predict", "Churn", False),
        ({"churn"}, "read", "", True),
        ({"churn"}, "read", "*", False),
        ({"churn"}, "judge", "", True),
        ({"churn"}, "judge", "churn", True),
        ({"churn"}, "judge", "fraud", False),
        ({"churn"}, "upload", "churn", False),
        (set(), "read", "churn", False),
    ],
)
def test_what_a_caller_may(models, verb, reference, may):
    caller = Caller("key:1", models=None if models is None else frozenset(models))

    assert caller.may(verb, reference) == may
    assert not Caller("key:1", frozenset()).may(verb, reference)


def test_a_header_that_came_twice_is_one_with_both_values():
    told = told_of([(b"accept", b"a"), (b"authorization", b"Bearer 1"), (b"authorization", b"Bearer 2")])

    assert told == {"accept": "a", "authorization": "Bearer 1, Bearer 2"}


def test_lines_become_pairs():
    assert pairs_of(b"ratelimit: 1\r\nx: a: b\r\n") == [(b"ratelimit", b"1"), (b"x", b"a: b")]
    assert pairs_of(b"") == []


def test_a_hint_names_no_model_that_the_caller_may_not_see():
    error = ModelNotFound("There is no model 'chrun'.", hint="Did you mean 'churn'?")

    assert discreet(error, ONE).hint == ""
    assert discreet(error, ONE).message == error.message
    assert discreet(error, NOBODY) is error
    assert isinstance(discreet(InvalidInput("x", hint="y"), ONE), InvalidInput)


def test_a_refusal_is_the_same_whether_there_is_such_a_model_or_not():
    door = Parts().door()
    told = []
    for model in ("fraud", "no-such-model"):
        with pytest.raises(Forbidden) as caught:
            door.enter(model, "read", HEADERS, "")
        told.append((caught.value.message.replace(model, "M"), caught.value.hint, caught.value.details))

    assert told[0] == told[1]


def test_unauthorized_is_told_with_how_to_authorize():
    from prism_core.rest.errors import problem_response

    status, headers, _ = problem_response(Unauthorized("Who is there?"))
    assert (status, dict(headers)[b"www-authenticate"]) == (401, b"Bearer")
