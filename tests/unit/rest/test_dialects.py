"""Predictions in another protocol: the same short way, its own words."""

from __future__ import annotations

import asyncio
import json
import re

import attrs
import pytest
from hypothesis import given

from prism_core.errors import MalformedBody, Overloaded
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.callers.door import Door
from prism_core.rest.cors import ModelCors
from prism_core.rest.entrance import asks_of
from prism_core.rest.routing import Route, Routes
from prism_core.serving import NAME, Dialect
from tests.unit.rest.test_shortcut import (
    ANY_PIECES,
    CUTS,
    KINDS,
    Access,
    Connection,
    Counting,
    answers,
    check_alike,
    request,
    some_of,
)

SKIPPED = len(b'{"echo": ')
TOLD = []


def read(headers):
    TOLD.append(headers)
    if "x-toy-wrong" in headers:
        raise MalformedBody("It is wrong.", hint="Leave it out.")
    return f"application/x-toy;mode={headers.get('x-toy', 'none')}"


def write(body):
    rest = memoryview(body)[SKIPPED:]
    return b"content-type: text/x-toy\r\nx-toy-bytes: %d\r\n" % len(rest), rest


def problem(error):
    told = {"oh": error.message, "id": error.details.get("error_id")}
    return "text/x-toy-problem", json.dumps(told).encode()


TOY = Dialect(
    "toy",
    rf"/toy/(?P<model>{NAME}(?:@{NAME})?)(?:/(?P<version>[^/]+))?",
    accept="application/x-toy",
    read=read,
    write=write,
    problem=problem,
    encodings=frozenset({"gzip"}),
    headers=("x-toy", "x-toy-bytes"),
)


def broken(**functions):
    return attrs.evolve(TOY, **functions)


def raises(*_):
    raise RuntimeError("secret")


@pytest.fixture
async def connection(scene_of):
    TOLD.clear()
    return Connection(scene_of(deterministic=False), dialects=[TOY])


def toy(*lines, path="/toy/m", body=b"[[1]]", method="POST"):
    return request(body, *lines, path=path, method=method)


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("/toy/churn", "churn"),
        ("/toy/churn@champion", "churn@champion"),
        ("/toy/churn/3", "churn/3"),
        ("/toy/churn/003", "churn/3"),
        ("/toy/churn/champion", "churn@champion"),
        ("/toy/churn@champion/3", "churn@champion/3"),  # no model has such a name
        ("/toy/churn/3/4", None),
        ("/toy/", None),
        ("/model/churn", None),
    ],
)
def test_its_paths_mean_models(path, reference):
    routes = Routes([TOY])

    assert routes.find(path) == (Route(reference, "", TOY) if reference else None)
    assert routes.find(path) == routes.find(path)
    assert Routes().find(path) is None


def test_prisms_own_paths_stay_prisms():
    greedy = attrs.evolve(TOY, name="greedy", routes="/.*(?P<model>)")

    assert Routes([greedy]).find("/model/m/predict") == Route("m")
    assert Routes([TOY, greedy]).find("/toy/m").dialect is TOY


@pytest.mark.parametrize("routes", ["/toy/(?P<name>x)", "/toy", "(?P<model>"])
def test_routes_without_a_model_are_no_dialect(routes):
    with pytest.raises((ValueError, re.error)):
        attrs.evolve(TOY, routes=routes)


async def test_its_answers_come_the_short_way_as_it_writes_them(connection):
    one, two = await connection.send(toy("X-Toy: a"), toy("X-Toy: a", body=b"[[2]]"))

    assert connection.service.short == 2
    assert (one[2], two[2]) == (b"[[1]]}", b"[[2]]}")
    assert (one[1]["content-type"], one[1]["x-toy-bytes"], one[1]["content-length"]) == (
        "text/x-toy",
        "6",
        "6",
    )
    assert {"server-timing", "x-prism-cache", "x-prism-model-version", "x-request-id"} <= one[1].keys()


async def test_a_head_is_read_once(connection):
    await connection.send(*[toy("X-Toy: a")] * 5, toy("X-Toy: b"))

    assert [headers["x-toy"] for headers in TOLD] == ["a", "b"]


async def test_the_runtime_is_asked_in_its_media_type(connection):
    heads = []
    ask = connection.scene.replica.ask
    connection.scene.replica.ask = lambda head, *more: heads.append(head) or ask(head, *more)

    await connection.send(
        toy("X-Toy: a", "Accept: text/html", "Content-Type: text/html", "X-Prism-Timeout: 2"),
        toy(path="/toy/m?outputs=a"),
        toy("Connection: close"),
    )

    assert [(head.media_type, head.accept, head.query, head.style) for head in heads] == [
        ("application/x-toy;mode=a", "application/x-toy", "", ""),
        ("application/x-toy;mode=none", "application/x-toy", "", ""),
        ("application/x-toy;mode=none", "application/x-toy", "", ""),
    ]


ASKS = ("Origin: https://app.example", "Access-Control-Request-Method: POST")
TOYS = {
    **KINDS,
    "toy": toy(),
    "toy with an id": toy("X-Request-Id: t-1"),
    "toy of a page": toy("Origin: https://app.example"),
    "toy of a version": toy(path="/toy/m/3"),
    "toy with a percent": toy(path="/toy/%6d"),
    "packed": toy("Content-Encoding: gzip"),
    "packed otherwise": toy("Content-Encoding: br"),
    "chunked toy": toy(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    + b"5\r\n[[1]]\r\n0\r\n\r\n",
    "wrong": toy("X-Toy-Wrong: 1"),
    "in a hurry": toy("X-Prism-Timeout: never"),
    "nobody's": toy(path="/toy/nobody"),
    "nobody's version": toy(path="/toy/m/4"),
    "too large": toy(body=b"1" * 2000),
    "got": toy(method="GET", body=b""),
    "headed": toy(method="HEAD", body=b"").replace(b"Content-Length: 0\r\n", b""),
    "put": toy(method="PUT"),
    "asked": toy(
        "Origin: https://app.example", "Access-Control-Request-Method: POST", method="OPTIONS", body=b""
    ),
    "options": toy(method="OPTIONS", body=b""),
}


@ANY_PIECES
@given(some_of(TOYS), CUTS)
def test_both_ways_answer_alike(scene_of, kinds, cuts):
    kept = [kind for kind in kinds if kind != "headed"]  # whose answer has a length and no body
    asyncio.run(check_alike(scene_of, [TOYS[kind] for kind in kept], cuts, dialects=[TOY]))


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(
    ("kind", "status", "more"),
    [
        ("packed otherwise", 415, {}),
        ("wrong", 400, {}),
        ("in a hurry", 400, {}),
        ("nobody's", 403, {}),
        ("nobody's version", 403, {}),
        ("too large", 413, {"connection": "close"}),
        ("got", 405, {"allow": "POST"}),
        ("put", 405, {"allow": "POST"}),
        ("options", 405, {"allow": "POST"}),
    ],
)
async def test_refusals_are_in_its_words(scene_of, short, kind, status, more):
    """The status and the headers are ours."""
    connection = Connection(scene_of(deterministic=False), short=short, dialects=[TOY], max_body_bytes=1000)
    (answer,) = await connection.send(TOYS[kind])

    assert answer[0].startswith(f"HTTP/1.1 {status} ")
    assert answer[1]["content-type"] == "text/x-toy-problem"
    assert more.items() <= answer[1].items()
    assert json.loads(answer[2])["id"] is None
    assert connection.service.short == 0 or kind.startswith("nobody")


async def test_nothing_of_a_refusal_to_look_is_sent(connection):
    await connection.send(TOYS["headed"])

    assert connection.transport.written.startswith(b"HTTP/1.1 405 ")
    assert connection.transport.written.endswith(b"\r\n\r\n")


async def test_a_page_asks_before_it_sends_its_headers(scene_of):
    connection = Connection(scene_of(deterministic=False), dialects=[TOY])
    front = connection.protocol._front
    origins = {"m": frozenset({"https://app.example"})}
    cors = ModelCors(frozenset(), origins, asks_of(front.routes), b"x-toy", b"x-toy-bytes")
    front._models = attrs.evolve(front._models, cors=cors)
    asked, got, other = await connection.send(
        TOYS["asked"], TOYS["toy of a page"], toy("Origin: https://app.example", path="/toy/other")
    )

    assert asked[0] == "HTTP/1.1 204 No Content"
    assert asked[1]["access-control-allow-headers"] == "x-toy"
    assert got[1]["access-control-allow-origin"] == "https://app.example"
    assert got[1]["access-control-expose-headers"] == "x-toy-bytes"
    assert "access-control-allow-origin" not in other[1]


@pytest.mark.parametrize("short", [True, False])
async def test_a_full_queue_says_when_to_come_back(scene_of, short):
    connection = Connection(scene_of(deterministic=False), short=short, dialects=[TOY])
    connection.hold = True
    await connection.send(toy())
    connection.scene.replica.answer(1, Overloaded("Full.", details={"retry_after_s": 3}))
    await connection.settle()
    (answer,) = answers(connection.transport.written)

    assert answer[0].startswith("HTTP/1.1 503")
    assert answer[1]["retry-after"] == "3"
    assert json.loads(answer[2])["oh"] == "Full."


async def test_a_crowd_is_refused_in_the_words_of_each(scene_of):
    """The bytes of the last refusal are kept, for those who speak alike."""
    connection = Connection(scene_of(deterministic=False), dialects=[TOY])
    connection.scene.lane.crowd.bound = 0
    native, spoken, again = await connection.send(request(), toy(), toy())

    assert json.loads(native[2])["code"] == "overloaded"
    assert "oh" in json.loads(spoken[2])
    assert again == spoken


@pytest.mark.parametrize("short", [True, False])
async def test_the_door_is_asked_and_adds_its_lines(scene_of, short):
    connection = Connection(
        scene_of(deterministic=False), Door(limiter=Counting()), short=short, dialects=[TOY]
    )
    told = await connection.send(toy(), toy(path="/toy/nobody"), TOYS["got"], toy())

    assert [answer[1]["ratelimit"] for answer in told] == ["1", "2", "3", "4"]


# --- functions of plugins that fail ---------------------------------------------------------------


BROKEN = {
    "read raises": broken(read=raises),
    "read returns nothing": broken(read=lambda headers: None),
    "read returns what nobody sends": broken(read=lambda headers: "a\ud800"),
    "write raises": broken(write=raises),
    "write returns nothing": broken(write=lambda body: None),
    "write returns text": broken(write=lambda body: ("content-type: a\r\n", "b")),
    "lines do not end": broken(write=lambda body: (b"content-type: a", b"")),
    "lines end early": broken(write=lambda body: (b"a: b\r\n\r\nHTTP/1.1 200 OK\r\n", b"")),
    "no bytes": broken(write=lambda body: (b"a: b\r\n", memoryview(b"12345678").cast("I"))),
}


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("kind", BROKEN)
async def test_a_fault_of_a_dialect_is_a_500_and_the_connection_goes_on(scene_of, caplog, short, kind):
    connection = Connection(scene_of(deterministic=False), short=short, dialects=[BROKEN[kind]])
    fault, native = await connection.send(toy(), request())

    assert fault[0] == "HTTP/1.1 500 Internal Server Error"
    assert fault[1]["content-type"] == "text/x-toy-problem"
    assert re.fullmatch("[0-9a-f]{12}", json.loads(fault[2])["id"])
    assert b"secret" not in fault[2]
    assert native[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(
    "say", [raises, lambda error: None, lambda error: ("a\r\nb: c", b"")], ids=["raises", "none", "lines"]
)
async def test_one_that_cannot_even_say_so_is_a_problem_document(scene_of, short, say):
    connection = Connection(scene_of(deterministic=False), short=short, dialects=[broken(problem=say)])
    fault, native = await connection.send(toy(path="/toy/nobody"), request())

    assert fault[0] == "HTTP/1.1 500 Internal Server Error"
    assert fault[1]["content-type"] == "application/problem+json"
    assert b'"code":"internal_error"' in fault[2]
    assert native[0] == "HTTP/1.1 200 OK"


# --- large answers, and the access log ------------------------------------------------------------


async def test_a_large_answer_is_written_without_a_copy(scene_of):
    connection = Connection(scene_of(deterministic=False), dialects=[TOY])
    large = b'{"echo": ' + b"1" * LARGE_BYTES
    parts = []
    connection.transport.writelines = parts.extend
    connection.hold = True
    connection.protocol.data_received(toy())
    await connection.settle()
    connection.scene.replica.answer(1, body=large)
    await connection.settle()

    head, body = parts
    assert head.endswith(b"\r\n\r\n")
    assert isinstance(body, memoryview)
    assert body.obj is large
    assert bytes(body) == large[SKIPPED:]


@pytest.mark.parametrize("short", [True, False])
async def test_the_access_log_counts_what_was_sent(scene_of, short):
    access = Access({"m": 4})
    connection = Connection(scene_of(deterministic=False), short=short, access=access, dialects=[TOY])
    await connection.send(toy(), toy(path="/toy/nobody"))
    answered, refused = access.lines

    assert (answered.path, answered.status, answered.bytes, answered.model) == ("/toy/m", 200, 6, "m")
    assert answered.values == "[[1]"
    assert (refused.path, refused.status) == ("/toy/nobody", 403)
