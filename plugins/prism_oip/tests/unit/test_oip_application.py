"""The routes that are no predictions, before a server of values."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from prism_core.plugin import (
    NOBODY,
    Caller,
    MalformedBody,
    MethodNotAllowed,
    ModelNotFound,
    PayloadTooLarge,
    RouteNotFound,
    Served,
    Signature,
    Statistics,
    TensorSpec,
    UnsupportedInput,
)
from prism_oip import told
from prism_oip.rest.application import CHANGES, PREDICTS, READS, Application
from prism_oip.rest.bodies import MAX_BYTES

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1,)),))
CHURN = [
    Served("churn", 1, "STOPPED", "It was stopped."),
    Served("churn", 2, "READY", loader="sklearn", aliases=("latest",), signature=SIGNATURE, max_batch_rows=8),
]
SECRET = Served("secret", 1, "READY", signature=SIGNATURE)


@attrs.define
class Server:
    """What a `Host` is here: two models, and what was done to them."""

    caller_: Caller = NOBODY
    is_settled: bool = True
    done: list[Any] = attrs.field(factory=list)
    version = "1.2.3"

    def settled(self):
        return self.is_settled

    def caller(self, scope):
        return self.caller_

    def served(self, caller=NOBODY):
        return [one for one in [*CHURN, SECRET] if caller.may("read", one.model)]

    def find(self, reference):
        found = {"churn": CHURN[1], "churn/1": CHURN[0], "churn/2": CHURN[1], "churn@latest": CHURN[1]}
        if reference not in found:
            raise ModelNotFound(f"There is no {reference}.")
        return found[reference]

    async def start(self, model, version=None):
        self.done.append(("start", model))

    async def stop(self, model, version=None):
        self.done.append(("stop", model))

    async def statistics(self, model="", version=None):
        wanted = [one for one in [*CHURN, SECRET] if model in ("", one.model)]
        return [Statistics(one.model, one.version) for one in wanted if version in (None, one.version)]


@attrs.define
class Client:
    """Asks an application."""

    host: Server = attrs.field(factory=Server)
    owner: bool = False

    async def __call__(self, method, path, *pieces: bytes, **headers):
        extensions = told.OWNERS if self.owner else told.PUBLIC
        more = CHANGES if self.owner else PREDICTS
        app = Application(self.host, extensions, {**READS, **more})
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
        }
        left, sent = list(pieces) or [b""], []

        async def receive():
            if not left:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        if not sent:
            return None
        start, body = sent
        assert dict(start["headers"])[b"content-type"] == b"application/json"
        if method == "HEAD":
            return start["status"], (dict(start["headers"])[b"content-length"], body["body"])
        assert int(dict(start["headers"])[b"content-length"]) == len(body["body"])
        return start["status"], json.loads(body["body"])


@pytest.fixture
def ask():
    return Client()


@pytest.fixture
def owner():
    return Client(owner=True)


async def test_the_server_says_what_it_is(ask, owner):
    public, theirs = (await ask("GET", "/v2")), (await owner("GET", "/v2/"))

    assert public == (200, {"name": "prism", "version": "1.2.3", "extensions": list(told.PUBLIC)})
    assert theirs[1]["extensions"] == list(told.OWNERS)


async def test_head_is_get_without_the_body(ask):
    status, (length, body) = await ask("HEAD", "/v2/health/live")

    assert (status, length, body) == (200, b"13", b"")


async def test_health(ask):
    assert await ask("GET", "/v2/health/live") == (200, {"live": True})
    assert await ask("GET", "/v2/health/ready") == (200, {"ready": True})
    ask.host.is_settled = False
    assert await ask("GET", "/v2/health/live") == (200, {"live": True})
    assert await ask("GET", "/v2/health/ready") == (503, {"ready": False})


@pytest.mark.parametrize("path", ["churn", "churn@latest", "churn/versions/2", "churn/versions/latest"])
async def test_a_model_by_all_its_names(ask, path):
    status, found = await ask("GET", f"/v2/models/{path}")

    assert (status, found["name"], found["versions"]) == (200, "churn", ["2"])
    assert await ask("GET", f"/v2/models/{path}/ready") == (200, {"name": "churn", "ready": True})
    assert (await ask("GET", f"/v2/models/{path}/config"))[1]["max_batch_size"] == 8


async def test_what_is_not_ready_says_why(ask):
    answer = {"name": "churn", "ready": False, "error": "It was stopped."}

    assert await ask("GET", "/v2/models/churn/versions/1/ready") == (503, answer)


@pytest.mark.parametrize("path", ["nope", "nope/ready", "nope/config", "nope/versions/1/stats"])
async def test_what_is_not_there_is_not_found(ask, path):
    with pytest.raises(ModelNotFound):
        await ask("GET", f"/v2/models/{path}")


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("churn/stats", [("churn", "1"), ("churn", "2")]),
        ("churn@latest/stats", [("churn", "2")]),
        ("churn/versions/1/stats", [("churn", "1")]),
        ("stats", [("churn", "1"), ("churn", "2"), ("secret", "1")]),
    ],
)
async def test_statistics_of_all_or_some(ask, path, versions):
    _, found = await ask("GET", f"/v2/models/{path}")

    assert [(one["name"], one["version"]) for one in found["model_stats"]] == versions


async def test_lists_show_what_the_caller_may_see(ask):
    ask.host.caller_ = Caller("key:1", models=frozenset({"churn"}))

    _, found = await ask("POST", "/v2/repository/index")
    _, counted = await ask("GET", "/v2/models/stats")

    assert {one["name"] for one in found} == {one["name"] for one in counted["model_stats"]} == {"churn"}


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        ([], 3),
        ([b"  "], 3),
        ([b"{}"], 3),
        ([b'{"ready": false}'], 3),
        ([b'{"ready": null}'], 3),
        ([b'{"rea', b'dy": true}'], 2),
        ([b'{"ready": true, "repository_name": ""}'], 2),
    ],
)
async def test_the_index_and_what_of_it_is_wanted(ask, pieces, count):
    status, found = await ask("POST", "/v2/repository/index", *pieces)

    assert (status, len(found)) == (200, count)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"ready": "yes"}',
        b'{"ready": 1}',
        b"\xff",
        b"[" * 100_000,
        b'{"ready": true}x',
        b"\x00",
    ],
)
async def test_a_body_that_does_not_fit_is_malformed(ask, body):
    with pytest.raises(MalformedBody, match="does not fit"):
        await ask("POST", "/v2/repository/index", body)


async def test_a_body_is_bounded_by_what_it_says_and_by_what_comes(ask):
    with pytest.raises(PayloadTooLarge):
        await ask("POST", "/v2/repository/index", b"", content_length=str(MAX_BYTES + 1))
    with pytest.raises(PayloadTooLarge):
        await ask("POST", "/v2/repository/index", *[b" " * 65536] * (MAX_BYTES // 65536), b" ", b"{}")


async def test_a_packed_body_is_not_read(ask):
    with pytest.raises(UnsupportedInput):
        await ask("POST", "/v2/repository/index", b"{}", content_encoding="gzip")


async def test_the_owner_loads_and_unloads(owner):
    assert await owner("POST", "/v2/repository/models/churn/load") == (200, {"name": "churn", "load": True})
    body = b'{"parameters": {"unload_dependents": true}}'
    assert await owner("POST", "/v2/repository/models/churn/unload", body) == (
        200,
        {"name": "churn", "unload": True},
    )

    assert owner.host.done == [("start", "churn"), ("stop", "churn")]


@pytest.mark.parametrize(
    ("verb", "parameters", "reason"),
    [
        ("load", '{"config": "{}"}', "another configuration"),
        ("load", '{"file:1/model.onnx": "AAAA"}', "another file"),
        ("load", '{"config": "{}", "file:1/model.onnx": "AAAA"}', "another configuration"),
        ("load", '{"unload_dependents": true}', "no parameter"),
        ("unload", '{"config": "{}"}', "no parameter"),
        ("unload", '{"unload_dependents": 1}', "true or false"),
        ("unload", "[]", "does not fit"),
    ],
)
async def test_parameters_that_would_change_a_version_are_refused(owner, verb, parameters, reason):
    with pytest.raises(MalformedBody, match=reason):
        await owner(
            "POST", f"/v2/repository/models/churn/{verb}", b'{"parameters": %b}' % parameters.encode()
        )

    assert owner.host.done == []


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_what_changes_the_server_is_not_there_for_the_public(ask, verb, method):
    with pytest.raises(RouteNotFound):
        await ask(method, f"/v2/repository/models/churn/{verb}")


async def test_predictions_are_not_there_for_the_owner(owner):
    with pytest.raises(RouteNotFound):
        await owner("GET", "/v2/models/churn/infer")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/health/live", "GET, HEAD"),
        ("OPTIONS", "/v2/models/churn", "GET, HEAD"),
        ("GET", "/v2/repository/index", "POST"),
        ("GET", "/v2/models/churn/infer", "POST"),
        ("PUT", "/v2/models/nope/stats", "GET, HEAD"),
    ],
)
async def test_other_methods_are_told_which_there_are(ask, method, path, allow):
    with pytest.raises(MethodNotAllowed) as error:
        await ask(method, path)

    assert error.value.details == {"allow": allow}


@pytest.mark.parametrize("path", ["/v2/nothing", "/v2/models", "/v2/models/\x00"])
async def test_other_paths_are_nothing(ask, path):
    with pytest.raises(RouteNotFound):
        await ask("GET", path)


async def test_whoever_leaves_before_all_is_there_gets_nothing(ask):
    app = Application(ask.host, told.PUBLIC, READS)
    scope = {"type": "http", "method": "POST", "path": "/v2/repository/index", "headers": []}
    sent: list[Any] = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)

    assert sent == []
