"""What each public path asks of a caller; everything unknown asks the most."""

import pytest

from prism_core.errors import Forbidden
from prism_core.gateway.callers.door import Door
from prism_core.rest.app import public_app
from prism_core.rest.entrance import asked_of
from prism_core.specs import Caller
from tests.unit.rest.conftest import client_of


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/health", None),
        ("/health/live", None),
        ("/health/ready/", None),
        ("/health", "*"),
        ("/v1/models", ""),
        ("/v1/models/", ""),
        ("/v1/models/status", ""),
        ("/openapi.json", ""),
        ("/v1/models/churn", "churn"),
        ("/v1/models/churn/metadata", "churn"),
        ("/v1/models/churn:predict", "churn"),
        ("/model/churn", "churn"),
        ("/model/churn@champion", "churn@champion"),
        ("/model/churn/versions/3", "churn"),
        ("/model/status", "status"),
        ("/model/churn/../fraud", "churn"),  # no route normalises it
        ("//model/churn", "*"),
        ("/model//churn", "*"),
        ("/model", "*"),
        ("/metrics", "*"),
        ("/", "*"),
        ("", "*"),
        ("/v2/models/churn", "*"),
    ],
)
def test_what_a_path_asks_for(path, model):
    assert asked_of(path) == model


class Doorkeeper:
    """Knows one caller; the guard notes the calls."""

    def __init__(self, caller):
        self.caller, self.calls = caller, []

    def of(self, headers):
        return self.caller

    def knock(self, client):
        return b""

    def admit(self, call):
        self.calls.append(call)
        return b"x-count: %d\r\n" % len(self.calls)


@pytest.fixture
def keeper(gateway):
    keeper = Doorkeeper(Caller("key:1", models=frozenset({"churn"})))
    gateway.door = Door(identity=keeper, limiter=keeper)
    return keeper


@pytest.fixture
async def caller(gateway, keeper):
    async with client_of(public_app(gateway)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/model/churn", 200),
        ("HEAD", "/model/churn", 200),
        ("GET", "/model/iris", 403),
        ("GET", "/model/none", 403),
        ("POST", "/model/iris/predict", 403),
        ("DELETE", "/model/iris", 403),
        ("GET", "/metrics", 403),
        ("GET", "/no/such/route", 403),
        ("GET", "/v1/health", 200),
        ("OPTIONS", "/model/churn", 204),
    ],
)
async def test_what_a_caller_with_one_model_gets(caller, method, path, status):
    assert (await caller.request(method, path)).status_code == status


async def test_a_page_is_counted_and_its_answer_says_so(caller, keeper):
    answers = [await caller.get("/model/churn") for _ in range(2)]

    assert [answer.headers["x-count"] for answer in answers] == ["1", "2"]
    assert answers[0].headers["cache-control"] == "private"
    assert [(call.model, call.verb, call.caller.id) for call in keeper.calls] == [
        ("churn", "read", "key:1")
    ] * 2


async def test_a_caller_without_the_scope_reads_nothing(caller, keeper):
    keeper.caller = Caller("key:2", frozenset({"predict"}))

    assert (await caller.get("/model/churn")).status_code == 403
    assert (await caller.get("/v1/models")).json()["code"] == Forbidden.code
