"""The admin routes against a gateway in memory."""

from __future__ import annotations

import asyncio

import pytest

from prism_core.audit import opened, read
from prism_core.errors import IllegalTransition
from prism_core.specs import ModelEvent

# method, path, JSON body, the call that reaches the gateway
CHANGES = [
    ("PUT", "/models/churn/aliases/champion", {"version": 3}, ("set_alias", "churn", "champion", 3)),
    (
        "PUT",
        "/models/churn/aliases/best",
        {"version": 3, "keep_warm_s": 60},
        ("set_alias", "churn", "best", 3, 60.0),
    ),
    ("DELETE", "/models/churn/aliases/champion", None, ("remove_alias", "churn", "champion")),
    ("POST", "/models/churn/rollback", None, ("rollback", "churn")),
    ("POST", "/models/churn/rollback?keep_warm_s=60", None, ("rollback", "churn", 60.0)),
    ("POST", "/models/churn/stop", None, ("stop", "churn", None)),
    ("POST", "/models/churn/stop?version=2", None, ("stop", "churn", 2)),
    ("POST", "/models/churn/start", None, ("start", "churn", None)),
    ("POST", "/models/churn/start?version=2", None, ("start", "churn", 2)),
    ("DELETE", "/models/churn", None, ("remove", "churn", None)),
    ("DELETE", "/models/churn/versions/2", None, ("remove", "churn", 2)),
]
LOOKS = ["/models", "/models/churn", "/models/churn/versions/2", "/plugins", "/server", "/models/churn/logs"]
ALL_ROUTES = [
    *((method, path) for method, path, _, _ in CHANGES),
    *(("GET", path) for path in LOOKS),
    ("POST", "/upload?spec={}"),
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("DELETE", "/keys/ab12cd34"),
    ("GET", "/events"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize(("method", "path", "body", "call"), CHANGES)
async def test_a_change_reaches_the_gateway(admin, gateway, method, path, body, call):
    answer = await admin.request(method, f"/admin/v1{path}", json=body)

    assert answer.status_code == 200
    assert answer.json()
    assert gateway.calls == [call]


@pytest.mark.parametrize(("method", "path", "body", "call"), CHANGES)
async def test_a_refused_change_says_why(admin, gateway, problem_of, method, path, body, call):
    gateway.fails = IllegalTransition("It is stopped already.", hint="Start it.")

    answer = await admin.request(method, f"/admin/v1{path}", json=body)

    assert (answer.status_code, problem_of(answer)["code"]) == (409, "illegal_transition")


@pytest.mark.parametrize(("method", "path", "body", "call"), CHANGES)
async def test_a_change_of_what_is_not_there(admin, problem_of, method, path, body, call):
    answer = await admin.request(method, f"/admin/v1{path.replace('churn', 'chrn')}", json=body)

    assert problem_of(answer)["code"] == "model_not_found"


@pytest.mark.parametrize("path", LOOKS)
async def test_a_look(admin, path):
    assert (await admin.get(f"/admin/v1{path}")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer a-token-of-test")],
        [("Authorization", "Basic a-token-of-tests")],
        [("Authorization", "a-token-of-tests")],
        [("Authorization", "Bearer \xe4")],
        [("Authorization", "Bearer a-token-of-tests"), ("Authorization", "Bearer a-token-of-tests")],
    ],
)
async def test_nothing_is_done_or_told_without_the_token(stranger, gateway, problem_of, headers):
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]

    for method, path in [*((method, f"/admin/v1{path}") for method, path in ALL_ROUTES), ("GET", "/metrics")]:
        answer = await stranger.request(method, path, headers=raw)

        assert (answer.status_code, problem_of(answer)["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert gateway.calls == []


async def test_the_scheme_may_be_written_in_any_case(stranger, gateway):
    answer = await stranger.get("/admin/v1/models", headers={"Authorization": f"bearer {gateway.token}"})

    assert answer.status_code == 200


async def test_a_gateway_without_a_token_lets_nobody_in(gateway, client_of_admin):
    gateway.token = ""

    async with client_of_admin(Authorization="Bearer ") as client:
        assert (await client.get("/admin/v1/models")).status_code == 401


async def test_models_are_told_in_full(admin):
    models = (await admin.get("/admin/v1/models")).json()["models"]

    assert [model["model"] for model in models] == ["churn", "iris"]
    assert models[0]["versions"][0]["options"] == {"secret-option": 1}


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("PUT", "/models/churn/aliases/champion", {"version": "three"}, "invalid_parameter"),
        ("PUT", "/models/churn/aliases/champion", {}, "invalid_parameter"),
        ("PUT", "/models/churn/aliases/champion", None, "invalid_parameter"),
        ("POST", "/models/churn/stop?version=two", None, "invalid_parameter"),
        ("GET", "/models/churn/logs?tail=many", None, "invalid_parameter"),
        ("GET", "/models/churn/versions/two", None, "route_not_found"),
        ("GET", "/nowhere", None, "route_not_found"),
        ("GET", "/upload", None, "method_not_allowed"),
        ("POST", "/models", None, "method_not_allowed"),
    ],
)
async def test_a_wrong_request(admin, gateway, problem_of, method, path, body, code):
    answer = await admin.request(method, f"/admin/v1{path}", json=body)

    assert problem_of(answer)["code"] == code
    assert gateway.calls == []


async def test_a_body_that_is_too_large_for_a_small_route(admin, problem_of):
    answer = await admin.put("/admin/v1/models/churn/aliases/champion", content=b" " * (2 << 20))

    assert problem_of(answer)["code"] == "payload_too_large"


async def test_a_fault_of_ours_tells_only_its_number(admin, gateway, problem_of):
    gateway.fails = RuntimeError("secret-error at /home/secret")

    answer = await admin.post("/admin/v1/models/churn/rollback")

    assert problem_of(answer)["error_id"]
    assert "secret" not in answer.text


async def test_plugins_that_failed_are_told_with_the_reason(admin):
    assert (await admin.get("/admin/v1/plugins")).json() == {"plugins": [], "failures": []}


# --- streams ----------------------------------------------------------------------------


async def test_logs_are_lines_of_text(admin, gateway):
    answer = await admin.get("/admin/v1/models/churn/logs?version=2&tail=7")

    assert answer.text == "loaded\nready\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert gateway.calls == [("logs", "churn", 2, 7, False)]


async def test_logs_of_what_is_not_there(admin, problem_of):
    assert problem_of(await admin.get("/admin/v1/models/chrn/logs"))["code"] == "model_not_found"


async def test_events_are_told_as_they_happen(wire, gateway, subscribed):
    request = wire("GET", "/admin/v1/events")
    await subscribed()

    gateway.events.emit(ModelEvent("model.ready", "churn", 3, 12.5, {"start_ms": 12}))
    await request.until(b"\n\n")
    request.hang_up()
    await request.task

    assert (b"content-type", b"text/event-stream") in request.sent[0]["headers"]
    event, data = request.content.decode().strip().split("\n")
    assert event == "event: model.ready"
    assert '"facts":{"start_ms":12}' in data


async def test_a_listener_that_leaves_is_forgotten(wire, gateway, subscribed):
    request = wire("GET", "/admin/v1/events")
    await subscribed()

    request.hang_up()
    await request.task

    assert not gateway.events._listeners


@pytest.mark.parametrize(("path", "query"), [("/events", ""), ("/models/churn/logs", "follow=true")])
async def test_an_endless_answer_ends_whole_when_the_server_stops(wire, stopping, path, query):
    request = wire("GET", f"/admin/v1{path}", query)
    await request.until(b"")

    stopping.set()
    await request.task

    assert request.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_metrics_are_text(admin):
    answer = await admin.get("/metrics")

    assert answer.text == "prism_up 1\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_a_wrong_token_is_in_the_log_and_never_as_it_was_sent(stranger, gateway):
    await stranger.get("/admin/v1/models", headers={"Authorization": "Bearer guessed-token"})
    data = gateway.settings.data_dir
    while not (lines := list(read(data))):
        await asyncio.sleep(0)

    assert opened(lines[0].rstrip(b"\n"))[0].action == "admin.refused"
    assert b"guessed-token" not in lines[0]
