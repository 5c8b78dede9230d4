"""Predictions through links go the short way too, and leave nothing for their neighbours on a connection."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings

from prism_core.errors import Overloaded
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.link import LinkWish, caller_id, new_link
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.sessions import new_session
from prism_core.gateway.callers.tally import Tally
from prism_core.rest.access import AccessLog
from tests.unit.rest.test_shortcut import CUTS, Connection, check_alike, request, some_of

APP = "https://partner.example"
OPEN, TOKEN = new_link(LinkWish("m", origins=(APP,)), time.time())
PINNED, PINNED_TOKEN = new_link(LinkWish("m/3", ("metadata",)), time.time())
GONE, GONE_TOKEN = new_link(LinkWish("nobody"), time.time())
SESSION, _ = new_session(OPEN, time.time())


def door_of(*links):
    uses = Tally()
    return LinkDoor(LinkTable(links, uses=uses), Limiter(uses=uses)), uses


def asked(slug, token="", *lines, body=b"[[1]]", **changes):
    shown = (f"X-Prism-Token: {token}",) if token else ()
    return request(body, *shown, *lines, path=f"/s/{slug}/predict", **changes)


KINDS = {
    "a link": (asked(OPEN.slug, TOKEN), 200),
    "by a session": (asked(OPEN.slug, SESSION), 200),
    "by a cookie": (asked(OPEN.slug, "", f"Cookie: prism_session={SESSION}"), 200),
    "by a bearer": (asked(OPEN.slug, "", f"Authorization: Bearer {TOKEN}"), 200),
    "no token": (asked(OPEN.slug), 401),
    "a wrong token": (asked(OPEN.slug, TOKEN[:-1]), 401),
    "another's token": (asked(OPEN.slug, PINNED_TOKEN), 401),
    "no such link": (asked("nosuchlink", TOKEN), 404),
    "a link that may not": (asked(PINNED.slug, PINNED_TOKEN), 403),
    "a link to nothing": (asked(GONE.slug, GONE_TOKEN), 403),
    "its page": (asked(OPEN.slug, TOKEN, "Origin: http://prism"), 200),
    "a page that it names": (asked(OPEN.slug, TOKEN, f"Origin: {APP}"), 200),
    "another page": (asked(OPEN.slug, TOKEN, "Origin: https://evil.example"), 403),
    "a page that the settings name": (asked(OPEN.slug, TOKEN, "Origin: https://app.example"), 403),
    "a page that it names, without a token": (asked(OPEN.slug, "", f"Origin: {APP}"), 401),
    "with a length of its own": (asked(OPEN.slug, TOKEN, body=b"[[1],[2]]"), 200),
    "chunked": (
        asked(OPEN.slug, TOKEN, body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        + b"5\r\n[[1]]\r\n0\r\n\r\n",
        200,
    ),
    "a model": (request(b"[[1]]"), 200),
    "a model, from a page": (request(b"[[1]]", "Origin: https://app.example"), 200),
    "a model, with a link's token": (request(b"[[1]]", f"X-Prism-Token: {TOKEN}"), 200),
    "a page of a link": (request(b"", path=f"/s/{OPEN.slug}", method="GET"), 200),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_of(KINDS), CUTS)
def test_links_and_models_on_one_connection_are_answered_alike_on_both_ways(scene_of, kinds, cuts):
    door, _ = door_of(OPEN, PINNED, GONE)
    told = asyncio.run(check_alike(scene_of, [KINDS[kind][0] for kind in kinds], cuts, links=door))

    # `nobody` is served by nobody; the scene's registry says 403 to that.
    assert [int(answer[0].split()[1]) for answer in told] == [KINDS[kind][1] for kind in kinds]


async def test_a_link_is_answered_the_short_way(scene_of):
    door, uses = door_of(OPEN)
    connection = Connection(scene_of(deterministic=False), links=door)
    told = await connection.send(*[asked(OPEN.slug, TOKEN)] * 3)

    assert [status for status, _, _ in told] == ["HTTP/1.1 200 OK"] * 3
    assert connection.protocol.cycle is None  # uvicorn has seen none of them
    assert len(connection.protocol._heads.known) == 1
    assert uses.spent(caller_id(OPEN.slug)) == 3


async def test_what_pages_are_told_follows_the_link_and_not_the_settings(connection_of):
    connection = connection_of(OPEN)
    named, own, stranger, refused = await connection.send(
        asked(OPEN.slug, TOKEN, f"Origin: {APP}"),
        asked(OPEN.slug, TOKEN, "Origin: http://prism"),
        asked(OPEN.slug, TOKEN, "Origin: https://app.example"),
        asked(OPEN.slug, "", f"Origin: {APP}"),
    )
    told = [answer[1].get("access-control-allow-origin") for answer in (named, own, stranger, refused)]

    assert told == [APP, None, None, APP]
    assert named[1]["vary"] == stranger[1]["vary"] == "Origin"


async def test_what_a_link_was_told_is_not_told_to_the_next_caller(connection_of):
    link, token = new_link(LinkWish("m", rate="5/s", uses=9), time.time())
    connection = connection_of(link)
    limited, plain = await connection.send(asked(link.slug, token), request(b"[[1]]"))

    assert limited[1]["ratelimit-policy"]
    assert "ratelimit-policy" not in plain[1]


async def test_a_revoked_link_opens_nothing_on_a_connection_that_it_opened(connection_of):
    connection = connection_of(OPEN)
    one = asked(OPEN.slug, TOKEN)
    await connection.send(one, one)
    connection.links.table.replace([])
    *_, told = await connection.send(one)

    assert told[0] == "HTTP/1.1 404 Not Found"


async def test_the_last_use_is_one_whoever_comes_together(connection_of):
    link, token = new_link(LinkWish("m", uses=5), time.time())
    connection = connection_of(link)
    told = await connection.send(asked(link.slug, token) * 8)
    statuses = [int(status.split()[1]) for status, _, _ in told]

    assert sorted(statuses) == [200] * 5 + [410] * 3
    assert json.loads(told[-1][2])["details"] == {"reason": "used_up"}


async def test_what_was_not_computed_is_given_back(connection_of):
    link, token = new_link(LinkWish("m", uses=1), time.time())
    connection = connection_of(link)
    connection.hold = True
    await connection.send(asked(link.slug, token))
    assert connection.uses.spent(caller_id(link.slug)) == 1
    connection.scene.replica.answer(1, Overloaded("full"))
    await connection.settle()

    assert connection.transport.written.startswith(b"HTTP/1.1 503 ")
    assert connection.uses.spent(caller_id(link.slug)) == 0


async def test_a_large_body_without_a_token_is_not_received(connection_of):
    connection = connection_of(OPEN)
    body = b"[[%b]]" % b"1".zfill(LARGE_BYTES)
    refused = await connection.send(asked(OPEN.slug, body=body)[:1000])
    connection.connect()
    unknown = await connection.send(asked("nosuchlink", TOKEN, body=body)[:1000])

    assert [refused[0][0], unknown[0][0]] == ["HTTP/1.1 401 Unauthorized", "HTTP/1.1 404 Not Found"]
    assert not hasattr(connection.transport, "protocol")


async def test_a_large_body_through_a_link_is_received_into_its_own_memory(connection_of):
    connection = connection_of(OPEN)
    await connection.send_large(asked(OPEN.slug, TOKEN, body=b"[[%b]]" % b"1".zfill(LARGE_BYTES)))

    assert connection.transport.written.startswith(b"HTTP/1.1 200 OK")


async def test_the_access_log_names_the_link_and_never_a_token(scene_of):
    written = []
    access = AccessLog(written.append, {"m": 100})
    door, _ = door_of(OPEN)
    connection = Connection(scene_of(deterministic=False), access=access, links=door)
    await connection.send(
        asked(OPEN.slug, TOKEN), asked(OPEN.slug, SESSION), asked(OPEN.slug), request(b"[[2]]")
    )
    await access.close()
    text = b"".join(written).decode()
    lines = [json.loads(line) for line in text.splitlines()]

    assert [line["caller"] for line in lines] == [caller_id(OPEN.slug)] * 2 + ["", ""]
    assert [line.get("model", "") for line in lines] == ["m", "m", "", "m"]
    assert [line.get("values") for line in lines] == ["[[1]]", "[[1]]", "[[1]]", "[[2]]"]
    assert not any(secret in text for secret in (TOKEN, SESSION))


async def test_models_are_asked_as_before_beside_links(connection_of):
    """A server without a door has none for models, also where there are links."""
    connection = connection_of(OPEN)
    await connection.send(request(b"[[1]]"))
    (known,) = connection.protocol._heads.known.values()
    assert known.door is None


@pytest.fixture
def connection_of(scene_of):
    def make(*links, door: Door | None = None):
        found, uses = door_of(*links)
        connection = Connection(scene_of(deterministic=False), door, links=found)
        connection.links, connection.uses = found, uses
        return connection

    return make
