"""What each public path asks of a caller; everything unknown asks the most."""

import pytest

from prism_core.errors import Forbidden
from prism_core.gateway.callers.door import Door, caller_of
from prism_core.rest.app import public_app
from prism_core.rest.entrance import asked_of, verb_of
from prism_core.serving import Frontend
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
        ("/v1/feedback", ""),
        ("/v1/feedback/x", "*"),
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


@pytest.mark.parametrize(
    ("method", "path", "model", "verb"),
    [
        ("GET", "/model/churn", "churn", "read"),
        ("HEAD", "/model/churn", "churn", "read"),
        ("POST", "/model/churn", "churn", "predict"),
        ("POST", "/v1/models", "", "read"),
        ("POST", "/v1/feedback", "", "judge"),
        ("POST", "/v1/feedback/", "", "judge"),
        ("DELETE", "/x", "*", "predict"),
    ],
)
def test_what_is_done_to_it(method, path, model, verb):
    assert verb_of(method, path, model) == verb


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


# --- what plugins have mounted -------------------------------------------------------------


async def told(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": caller_of(scope).id.encode()})


def asks(path):
    return {"/v2/open": None, "/v2/list": "", "/v2/broken": 1 / 0 if path.endswith("broken") else ""}.get(
        path, path.rpartition("/")[2]
    )


def say(error):
    return "text/x-short", error.code.encode()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v2/open", 200, ""),
        ("/v2/list", 200, "key:1"),
        ("/v2/churn", 200, "key:1"),
        ("/v2/iris", 403, "forbidden"),
        ("/v2/broken", 500, "internal_error"),
        ("/all/churn", 403, None),
    ],
)
async def test_a_face_knows_what_its_paths_ask(gateway, keeper, path, status, body):
    """Without that, whoever may not use all models is not let in; refusals are in its words."""
    gateway.frontends = [
        (Frontend("oip", open=None, path="/v2", asks=asks, problem=say), told),
        (Frontend("all", open=None, path="/all"), told),
    ]
    async with client_of(public_app(gateway)) as client:
        answer = await client.get(path)

    assert answer.status_code == status
    assert body is None or answer.text == body


async def test_a_list_is_read_whatever_the_method(gateway, keeper):
    """The inference protocol posts for its index; to post to a model is to predict."""
    keeper.caller = Caller("key:2", frozenset({"read"}))
    gateway.frontends = [(Frontend("oip", open=None, path="/v2", asks=asks, problem=say), told)]
    async with client_of(public_app(gateway)) as client:
        answers = [await client.post(path) for path in ("/v2/list", "/v2/churn")]

    assert [answer.status_code for answer in answers] == [200, 403]
    assert [call.verb for call in keeper.calls] == ["read"]


async def test_the_admin_listener_refuses_in_the_words_of_a_face(gateway, client_of_admin):
    gateway.frontends = [(Frontend("oip", open=None, path="/v2", listener="admin", problem=say), told)]
    async with client_of_admin() as stranger:
        face, core = await stranger.get("/v2/models"), await stranger.get("/admin/v1/models")

    assert (face.status_code, face.text) == (401, "unauthorized")
    assert face.headers["www-authenticate"] == "Bearer"
    assert core.json()["code"] == "unauthorized"
