"""The predict routes at the ASGI boundary."""

from __future__ import annotations

import asyncio
import json

import pytest

from prism_core.errors import Forbidden, InvalidInput, ModelNotFound, Overloaded
from prism_core.gateway.callers.door import Door
from prism_core.gateway.lane import Head, Prediction
from prism_core.rest.predict import PredictFront, content_type
from prism_core.rest.routing import Route, route_of


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/model/churn/predict", ("churn", "")),
        ("/model/churn@champion/predict", ("churn@champion", "")),
        ("/model/churn/versions/3/predict", ("churn/3", "")),
        ("/model/churn/versions/003/predict", ("churn/3", "")),
        ("/v1/models/churn/predict", ("churn", "")),
        ("/v1/models/churn@champion/predict", ("churn@champion", "")),
        ("/v1/models/churn:predict", ("churn", "v1")),
        ("/model/a.b_c-1/predict", ("a.b_c-1", "")),
        ("/model/churn", None),
        ("/model//predict", None),
        ("/model/churn/versions/x/predict", None),
        (f"/model/churn/versions/{'9' * 5000}/predict", None),  # more digits than Python reads: a 500 once
        ("/model/../predict", None),
        ("/model/churn/predict/", None),
        ("/admin/v1/models", None),
    ],
)
def test_routes(path, route):
    assert route_of(path) == (Route(*route) if route else None)


class FakeService:
    """Finds itself as the lane; answers with what it was asked, fails or hangs as told."""

    def __init__(self):
        self.asked = []
        self.error = None
        self.hangs = False
        self.cancelled = asyncio.Event()
        self.reference = ""

    def lane(self, reference):
        if reference == "unknown":
            raise ModelNotFound("No model 'unknown'.")
        self.reference = reference
        return self

    async def predict(self, head, body, timeout_s, request, sender):
        self.asked.append((self.reference, body, head, timeout_s))
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if self.error:
            raise self.error
        return Prediction(b"{}", "application/json", "churn", 3, 1, "miss", 8, 1500, 250)


class Exchange:
    """One request through an ASGI application."""

    def __init__(self, app, path="/model/churn/predict", body=b"{}", headers=(), chunks=None, method="POST"):
        self.app, self.sent = app, []
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"a=1",
            "headers": list(headers),
        }
        chunks = [body] if chunks is None else chunks
        self.inbox = asyncio.Queue()
        for at, chunk in enumerate(chunks):
            self.inbox.put_nowait({"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)})

    async def send(self, message):
        self.sent.append(message)

    async def run(self):
        await self.app(self.scope, self.inbox.get, self.send)
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def front(service):
    async def others(scope, receive, send):
        await send({"type": "http.response.start", "status": 299, "headers": []})

    return PredictFront(service, others, max_body_bytes=100)


@pytest.mark.parametrize("said", ["text/plain\r\nset-cookie: a=b", "", "a" * 257, "text/\udcff", "a\nb"])
def test_a_hostile_runtimes_media_type_is_no_header_line(said):
    assert content_type("text/csv; header=present") == b"content-type: text/csv; header=present\r\n"
    assert content_type(said) == b"content-type: application/octet-stream\r\n"


async def test_an_answer_says_what_happened(front):
    answer = await Exchange(front).run()

    assert answer.sent[1]["body"] == b"{}"
    assert answer.headers == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"server-timing": b"queue;dur=1.500, compute;dur=0.250",
        b"x-prism-model-version": b"3",
        b"x-prism-cache": b"miss",
        b"x-prism-batch": b"8",
    }


async def test_the_head_is_passed_on(front, service):
    headers = [
        (b"content-type", b"text/csv"),
        (b"accept", b"a/b"),
        (b"cache-control", b"no-store"),
        (b"x-prism-timeout", b"2.5"),
    ]
    await Exchange(front, "/v1/models/churn:predict", headers=headers, chunks=[b"1", b"2", b""]).run()

    head = Head("text/csv", "a/b", "a=1", "v1", cached=False)
    assert service.asked == [("churn", b"12", head, 2.5)]


async def test_what_curl_sends_unasked_is_json(front, service):
    await Exchange(front, headers=[(b"content-type", b"application/x-www-form-urlencoded")]).run()

    assert service.asked[0][2].media_type == ""


@pytest.mark.parametrize(("method", "path"), [("GET", "/model/churn/predict"), ("POST", "/model/churn")])
async def test_everything_else_is_handed_on(front, method, path):
    assert (await Exchange(front, path, method=method).run()).status == 299


@pytest.mark.parametrize(
    ("headers", "chunks"),
    [([(b"content-length", b"101")], [b"x" * 101]), ([], [b"x" * 60, b"x" * 60])],
    ids=["announced", "streamed"],
)
async def test_a_large_body_is_refused(front, service, headers, chunks):
    answer = await Exchange(front, headers=headers, chunks=chunks).run()

    assert answer.status == 413
    assert service.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("bad", details={"errors": [1]}), 422),
        (Overloaded("full", details={"retry_after_s": 1.2}), 503),
    ],
)
async def test_errors_are_problems(front, service, error, status):
    service.error = error
    answer = await Exchange(front).run()

    assert answer.status == status
    problem = json.loads(answer.sent[1]["body"])
    assert problem["code"] == error.code
    assert answer.headers.get(b"retry-after") == (b"2" if status == 503 else None)


class NoRobots:
    """Refuses a client by its name."""

    def check(self, call):
        if call.headers.get("user-agent") == "robot":
            raise Forbidden(f"Robots may not {call.verb} with {call.model} from {call.client}.")


@pytest.mark.parametrize(("agent", "status"), [(b"robot", 403), (b"person", 200)])
async def test_a_guard_refuses_by_the_head_alone(service, agent, status):
    front = PredictFront(service, None, max_body_bytes=100, door=Door(guards=[NoRobots()]))
    exchange = Exchange(front, headers=[(b"user-agent", agent)], chunks=[] if status == 403 else [b"{}"])
    exchange.scope["client"] = ("10.0.0.1", 5)
    answer = await exchange.run()

    assert answer.status == status
    assert (b"churn from 10.0.0.1" in answer.sent[1]["body"]) == (status == 403)


async def test_an_exception_tells_nothing(front, service):
    service.error = RuntimeError("/secret/path")
    answer = await Exchange(front).run()

    assert answer.status == 500
    assert b"secret" not in answer.sent[1]["body"]
    assert json.loads(answer.sent[1]["body"])["error_id"]


async def test_an_unknown_model_is_refused_before_its_body_is_read(front):
    exchange = Exchange(front, "/model/unknown/predict", chunks=[])

    assert (await exchange.run()).status == 404


@pytest.mark.parametrize("value", [b"soon", b"-1", b"nan", b"inf"])
async def test_a_timeout_that_is_no_time_is_refused(front, value):
    assert (await Exchange(front, headers=[(b"x-prism-timeout", value)]).run()).status == 400


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br, gzip", 415), ("Identity", 200)])
async def test_a_packed_body_is_refused_by_its_head(front, service, encoding, status):
    """It is not unpacked: a few kilobytes could become any number of gigabytes."""
    answer = Exchange(front, headers=[(b"content-encoding", encoding.encode())])

    assert (await answer.run()).status == status
    assert len(service.asked) == (status == 200)


async def test_a_client_that_hangs_up_is_cancelled(front, service):
    service.hangs = True
    exchange = Exchange(front)
    exchange.inbox.put_nowait({"type": "http.disconnect"})

    await exchange.run()

    assert service.cancelled.is_set()
    assert exchange.sent == []


async def test_a_client_that_hangs_up_before_its_body_is_whole_is_forgotten(front, service):
    exchange = Exchange(front, chunks=[])
    exchange.inbox.put_nowait({"type": "http.request", "body": b"1", "more_body": True})
    exchange.inbox.put_nowait({"type": "http.disconnect"})

    await exchange.run()

    assert service.asked == []
