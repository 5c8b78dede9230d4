"""Links against a real server: what one opens, until it has ended, and that nothing else does."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from prism_core.rest.linked import link_routes
from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer, predict, predict_slowly
from tests.integration.logs.conftest import admin_of

BODY = {"input": [[1.0]]}
APP = "https://app.example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    """A server that asks callers of models for a key, and writes an access log."""
    data = tmp_path_factory.mktemp("links") / "data"
    with ServerProcess(data, "--auth", "keys", "--access-log", "access.log") as server:
        server.upload(models / "2.pkl", "--name", "m")
        server.upload(models / "3.pkl", "--name", "m")
        yield server


@pytest.fixture
def owner(server):
    with admin_of(server) as client:
        yield client


@pytest.fixture
def make(owner):
    """Make a link; return what is told of it."""

    def make_link(**wish):
        made = owner.post("/admin/v1/links", json={"model": "m", **wish})
        assert made.status_code == 200, made.text
        return made.json()

    return make_link


def ask(client, link, shown=None, **headers):
    """Ask a link about one value, the short way."""
    headers |= bearer(link["token"] if shown is None else shown) if shown != "" else {}
    return client.post(f"/s/{link['slug']}/predict", json=BODY, headers=headers)


def ask_slowly(client, link, shown=None):
    """Ask as `ask` does, with a chunked body: uvicorn's way."""
    headers = {"Content-Type": "application/json"} | bearer(link["token"] if shown is None else shown)
    chunks = iter([json.dumps(BODY).encode()])
    return client.post(f"/s/{link['slug']}/predict", content=chunks, headers=headers)


WAYS = pytest.mark.parametrize("way", [ask, ask_slowly])


def code(response):
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.json()["code"]


@WAYS
@pytest.mark.parametrize(("model", "answer"), [("m", 3.0), ("m@latest", 3.0), ("m/1", 2.0)])
def test_a_link_opens_its_model_whatever_the_server_asks_of_others(client, make, way, model, answer):
    link = make(model=model)

    assert way(client, link).json()["predictions"] == pytest.approx([answer])
    assert link["url"] == f"{link['predict_url'].removesuffix('/predict')}#{link['token']}"
    assert link["unknown_models"] == []


@WAYS
def test_a_link_and_a_key_open_nothing_of_each_other(client, make, make_key, way):
    link, (_, key) = make(), make_key()

    assert code(way(client, link, key)) == "unauthorized"
    assert code(predict(client, link["token"])) == "unauthorized"
    assert code(predict_slowly(client, link["token"])) == "unauthorized"
    assert code(client.get("/model/m", headers=bearer(link["token"]))) == "unauthorized"


def test_a_slug_is_no_model(client, make, make_key):
    """A link's reference is known to the link's routes alone, whatever opens the others."""
    link, (_, key) = make(), make_key()
    paths = ("/model/~{}/predict", "/v1/models/~{}:predict", "/v1/models/~{}/predict", "/model/%7E{}/predict")
    told = [client.post(path.format(link["slug"]), json=BODY, headers=bearer(key)) for path in paths]

    assert [answer.status_code for answer in told] == [404] * 4


@WAYS
def test_a_revoked_link_opens_nothing_on_its_connection(client, owner, make, way):
    link = make()
    session = client.post(f"/s/{link['slug']}/open", json={"token": link["token"]}).json()["session"]
    assert [way(client, link, shown).status_code for shown in (None, session)] == [200, 200]
    assert owner.delete(f"/admin/v1/links/{link['slug']}").json()["revoked"]["used"] == 2

    assert [code(way(client, link, shown)) for shown in (None, session)] == ["link_not_found"] * 2
    assert code(owner.delete(f"/admin/v1/links/{link['slug']}")) == "link_not_found"


def test_the_last_use_is_one_however_many_ask_together(server, owner, make):
    link = make(uses=20)
    with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=16)) as client:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: (ask, ask_slowly)[n % 2](client, link), range(60)))
        page = client.get(f"/s/{link['slug']}/metadata", headers=bearer(link["token"]))

    assert Counter(answer.status_code for answer in answers) == {200: 20, 410: 40}
    assert (code(page), page.json()["details"]) == ("link_expired", {"reason": "used_up"})
    told = {one["slug"]: one["used"] for one in owner.get("/admin/v1/links").json()["links"]}
    assert told[link["slug"]] == 20


def test_a_link_ends_in_its_time(client, make):
    link = make(expires_s=1)
    assert ask(client, link).status_code == 200
    time.sleep(max(0.0, link["expires"] - time.time()))

    assert code(ask(client, link)) == "link_expired"
    assert code(client.post(f"/s/{link['slug']}/open", json={"token": link["token"]})) == "link_expired"


def test_metadata_says_what_a_caller_needs_and_no_more(server, client, make):
    link = make(uses=5, note="Ask it for x.")
    told = client.get(f"/s/{link['slug']}/metadata", headers=bearer(link["token"]))

    assert told.headers["cache-control"] == "no-store"
    assert told.json() == {
        "name": "m",
        "version": 2,
        "ready": True,
        "created": told.json()["created"],
        "description": "",
        "note": "Ask it for x.",
        "verbs": ["predict", "metadata"],
        "rate": None,
        "uses": 5,
        "used": 0,
        "expires": None,
        "url": f"{server.url}/s/{link['slug']}",
        "predict_url": link["predict_url"],
        "signature": told.json()["signature"],
        "example": {"input": [[0.0]]},
        "curl": told.json()["curl"],
    }
    assert link["token"] not in told.text


def test_without_the_token_nothing_is_told(client, make):
    one, other = make(), make(model="nobody")
    asked = {"POST": "predict", "GET": "metadata"}
    told = [
        client.request(method, f"/s/{link['slug']}/{path}", headers=headers).json()
        for link in (one, other)
        for headers in ({}, bearer("prl_" + "a" * 52))
        for method, path in asked.items()
    ]

    assert told[:4] == told[4:]
    assert "m" not in re.findall(r"\w+", json.dumps(told))


# --- opening ---------------------------------------------------------------------------------------


def test_a_password_is_asked_for_a_session_that_opens(client, make):
    link = make(password="swordfish")
    where = f"/s/{link['slug']}/open"
    assert code(ask(client, link)) == "unauthorized"
    token = {"token": link["token"]}
    for shown in ({}, token, {"password": "swordfish"}, {**token, "password": "haddock"}):
        assert code(client.post(where, json=shown)) == "unauthorized"
    opened = client.post(where, json={"token": link["token"], "password": "swordfish"})

    assert opened.json().keys() == {"session", "expires"}
    assert opened.headers["cache-control"] == "no-store"
    assert ask(client, link, opened.json()["session"]).status_code == 200
    assert "set-cookie" not in opened.headers


@pytest.mark.parametrize("https", [False, True])
def test_a_form_leads_to_the_page_with_a_cookie_for_this_link_alone(client, make, https):
    link, other = make(), make()
    origin = {"Origin": "https://prism.example", "Host": "prism.example"} if https else {}
    opened = client.post(f"/s/{link['slug']}/open", data={"token": link["token"]}, headers=origin)
    name, *attributes = opened.headers["set-cookie"].split("; ")
    (cookie,) = client.cookies.jar

    assert (opened.status_code, opened.headers["location"]) == (303, f"../{link['slug']}")
    assert set(attributes) == {"HttpOnly", "SameSite=Lax", "Max-Age=43200"} | ({"Secure"} if https else set())
    assert name.startswith("prism_session=prs_")
    assert cookie.path == f"/s/{link['slug']}"
    if not https:
        statuses = [client.get(f"/s/{one['slug']}/metadata").status_code for one in (link, other)]
        assert statuses == [200, 401]


def test_a_form_that_opens_nothing_leads_back(client, make):
    link = make(password="swordfish")
    told = client.post(f"/s/{link['slug']}/open", data={"token": link["token"], "password": "haddock"})

    assert (told.status_code, told.headers["location"]) == (303, f"../{link['slug']}?refused=unauthorized")
    assert "set-cookie" not in told.headers


# --- pages of other origins ---------------------------------------------------------------------------


def test_pages_of_named_origins_may_read_and_others_may_not_even_ask(server, client, make):
    link = make(origins=[APP])
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-prism-token"}
    named, other = (
        client.options(f"/s/{link['slug']}/predict", headers={"Origin": origin, **asks})
        for origin in (APP, "https://evil.example")
    )
    answers = [ask(client, link, Origin=origin) for origin in (APP, server.url, "null")]
    told = [answer.headers.get("access-control-allow-origin") for answer in (named, other, *answers)]

    assert [answer.status_code for answer in (named, other, *answers)] == [204, 403, 200, 200, 403]
    assert told == [APP, None, APP, None, None]
    assert "x-prism-token" in named.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in named.headers


# --- hostile input ---------------------------------------------------------------------------------------

NAMES = ("nosuchlink", "..", "%2e%2e", "a%00b", "%F0%9F%92%A9", "x" * 3000, "~m", "m", "@", "'", "%0d%0aX:1")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
FORMS = (b"", b"&" * 4000, b"token=%ff", b"a=1&" * 99, b"token=" + b"x" * 5000)
JSONS = (b"", b"{", b"[]", b"null", b'{"token": 1}', b'{"token": null}', b"\xff", b'{"x":' * 500)
BODIES = {
    "application/json": JSONS,
    "application/x-www-form-urlencoded": FORMS,
    "multipart/form-data": (b"", b"--x"),
    "": (b"", b"token"),
}


class Raw:
    """Sends bytes as they are."""

    def __init__(self, server):
        url = urlsplit(server.url)
        self.address = (url.hostname, url.port)

    def __call__(self, method, target, body=b"", *lines):
        head = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close"]
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall("\r\n".join([*head, *lines, "", ""]).encode("latin-1") + body)
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return int(answer[9:12])


def test_every_route_with_every_odd_name_and_method(server, make):
    raw, link = Raw(server), make()
    paths = {path for handler in link_routes(None, None) for path in handler.paths}
    told = Counter(
        raw(method, path.replace("{slug:str}", name), b"", f"X-Prism-Token: {link['token']}")
        for path in (*paths, "/s/{slug:str}/predict")
        for name in NAMES
        for method in METHODS
    )

    assert set(told) <= {204, 400, 401, 404, 405, 414}, told
    assert server.running


@pytest.mark.parametrize("media_type", BODIES)
def test_odd_bodies_open_nothing(server, make, media_type):
    raw, link = Raw(server), make(password="swordfish")
    where = f"/s/{link['slug']}/open"
    told = [raw("POST", where, body, f"Content-Type: {media_type}") for body in BODIES[media_type]]

    assert set(told) <= {303, 400, 401, 413, 415}, told
    assert "rest.failed" not in server.log.read_text()


def test_a_large_body_without_a_token_is_refused_before_it_is_sent(server, make):
    url, link = urlsplit(server.url), make()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.putrequest("POST", f"/s/{link['slug']}/predict")
    connection.putheader("Content-Length", "9000000")
    connection.endheaders(b"[" * 1000)

    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize(
    "wish",
    [{}, {"model": "Churn!"}, {"model": "m", "verbs": []}, {"model": "m", "uses": -1}],
)
def test_what_no_link_can_be_is_told(owner, wish):
    assert code(owner.post("/admin/v1/links", json=wish)) == "invalid_parameter"


def test_a_provider_that_there_is_not_makes_no_link(owner):
    before = len(owner.get("/admin/v1/links").json()["links"])
    told = owner.post("/admin/v1/links", json={"model": "m", "tunnel": "nosuch"})

    assert code(told) == "invalid_parameter"
    assert "nosuch" in told.json()["detail"]
    assert len(owner.get("/admin/v1/links").json()["links"]) == before


# --- what is written -----------------------------------------------------------------------------------


def test_a_link_lives_as_long_as_its_server_is_started_again_and_its_secrets_are_written_nowhere(
    server, owner, make, client
):
    link = make(password="swordfish", uses=9, model="later")
    shown = {"token": link["token"], "password": "swordfish"}
    assert link["unknown_models"] == ["later"]
    session = client.post(f"/s/{link['slug']}/open", json=shown).json()["session"]
    client.post(f"/s/{link['slug']}/predict?token={link['token']}", json=BODY)
    kept = make(uses=9)
    assert ask(client, kept).status_code == 200
    server.stop()
    server.start()
    with httpx.Client(base_url=server.url) as again:
        assert ask(again, kept).headers["ratelimit"] == '"quota";r=7'
        assert code(ask(again, link, session)) == "model_not_found"
    written = [path for path in server.data_dir.rglob("*") if path.is_file()]
    secrets = [text.encode() for text in (link["token"], link["token"][4:], session, "swordfish")]

    assert {"audit.jsonl", "access.log", "prism.db"} <= {path.name for path in written}
    for path in (*written, server.log):
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path
    lines = [json.loads(line) for line in (server.data_dir / "access.log").read_text().splitlines()]
    assert {line["caller"] for line in lines if kept["slug"] in line["path"]} == {f"link:{kept['slug']}"}
