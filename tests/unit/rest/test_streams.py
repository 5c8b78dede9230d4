"""Answers that go on, and applications of plugins."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from prism_core.errors import Overloaded
from prism_core.rest.mounted import Mount, Mounted, mounts_of
from prism_core.rest.streams import Stream, with_heartbeat
from prism_core.serving import Frontend


class Source:
    """Chunks that come when the test says so, and a flag for having been closed."""

    def __init__(self):
        self.coming = asyncio.Queue()
        self.closed = asyncio.Event()

    async def chunks(self):
        try:
            while (chunk := await self.coming.get()) is not None:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.closed.set()


@pytest.fixture
def source():
    return Source()


async def test_silence_is_filled_with_heartbeats(source):
    beating = with_heartbeat(source.chunks(), 0, b"beat")

    assert [await anext(beating), await anext(beating)] == [b"beat", b"beat"]
    source.coming.put_nowait(b"news")
    assert b"news" in [await anext(beating), await anext(beating), await anext(beating)]
    await beating.aclose()
    assert source.closed.is_set()


async def test_a_heartbeat_ends_with_its_source(source):
    for chunk in (b"a", b"b", None):
        source.coming.put_nowait(chunk)

    assert [chunk async for chunk in with_heartbeat(source.chunks(), 60, b"beat")] == [b"a", b"b"]


async def serve(app, *, gone: asyncio.Event | None = None, scope=None) -> list[dict]:
    sent = []

    async def receive():
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope or {"type": "http"}, receive, send)
    return sent


async def test_a_stream_ends_with_its_chunks(source):
    for chunk in (b"a", b"b", None):
        source.coming.put_nowait(chunk)

    sent = await serve(Stream(source.chunks(), "text/plain", asyncio.Event()))

    assert b"".join(m.get("body", b"") for m in sent) == b"ab"
    assert not sent[-1].get("more_body")


async def test_a_stream_closes_its_source_when_the_client_leaves(source):
    source.coming.put_nowait(b"a")
    gone = asyncio.Event()
    gone.set()

    await serve(Stream(source.chunks(), "text/plain", asyncio.Event()), gone=gone)

    assert source.closed.is_set()


async def test_a_stream_that_fails_is_not_ended_as_if_it_were_whole(source):
    source.coming.put_nowait(RuntimeError("broken"))

    with pytest.raises(RuntimeError, match="broken"):
        await serve(Stream(source.chunks(), "text/plain", asyncio.Event()))


# --- mounted ------------------------------------------------------------------------------


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["root_path"].encode()})


async def others(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})


async def overloaded(scope, receive, send):
    raise Overloaded("Full.", details={"retry_after_s": 2})


async def broken(scope, receive, send):
    raise RuntimeError("secret")


async def broken_later(scope, receive, send):
    await others(scope, receive, send)
    raise RuntimeError("secret")


def mounted(app, **facts):
    return Mounted({"/v2": Mount(Frontend("oip", open=None, path="/v2", **facts), app)}, others)


@pytest.mark.parametrize(
    ("path", "status"), [("/v2", 200), ("/v2/models", 200), ("/v2x", 404), ("/", 404), ("/model/v2", 404)]
)
async def test_what_lies_under_a_path_is_the_plugins(path, status):
    sent = await serve(mounted(hello), scope={"type": "http", "path": path})

    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("app", "status", "code"), [(overloaded, 503, "overloaded"), (broken, 500, "internal_error")]
)
async def test_what_a_plugin_lets_escape_is_a_problem(app, status, code):
    sent = await serve(mounted(app), scope={"type": "http", "path": "/v2"})

    document = json.loads(sent[1]["body"])
    assert (sent[0]["status"], document["code"]) == (status, code)
    assert "secret" not in str(document)


def say(error):
    return "text/x-short", f"{error.code} {error.details.get('error_id', '')}".encode()


@pytest.mark.parametrize(
    ("app", "status", "words"),
    [(overloaded, 503, rb"overloaded "), (broken, 500, rb"internal_error [0-9a-f]{12}")],
)
async def test_what_a_plugin_lets_escape_is_told_in_its_words(app, status, words):
    """The status and the headers are ours."""
    sent = await serve(mounted(app, problem=say), scope={"type": "http", "path": "/v2"})

    assert sent[0]["status"] == status
    assert dict(sent[0]["headers"])[b"content-type"] == b"text/x-short"
    assert (b"retry-after" in dict(sent[0]["headers"])) == (status == 503)
    assert re.fullmatch(words, sent[1]["body"])


@pytest.mark.parametrize(
    "say",
    [
        lambda error: 1 / 0,
        lambda error: None,
        lambda error: ("text/plain", "no bytes"),
        lambda error: ("text/plain\r\nx-evil: 1", b""),
        lambda error: ("", b""),
        lambda error: ("text/\u2603", b""),
    ],
    ids=["raises", "none", "text", "lines", "untyped", "snowman"],
)
async def test_words_that_cannot_be_sent_are_a_fault(say):
    sent = await serve(mounted(overloaded, problem=say), scope={"type": "http", "path": "/v2"})

    document = json.loads(sent[1]["body"])
    assert (sent[0]["status"], document["code"]) == (500, "internal_error")
    assert document["error_id"]


async def test_an_answer_that_has_begun_is_broken_off():
    with pytest.raises(RuntimeError):
        await serve(mounted(broken_later), scope={"type": "http", "path": "/v2"})


def test_each_listener_has_its_own_mounts(gateway):
    gateway.frontends = [
        (Frontend("oip", open=None, path="/v2/"), hello),
        (Frontend("console", open=None, path="/console", listener="admin"), others),
        (Frontend("grpc", open=None), None),
    ]

    public, admin = (mounts_of(gateway, listener) for listener in ("public", "admin"))
    assert {path: mount.app for path, mount in public.items()} == {"/v2": hello}
    assert {path: mount.app for path, mount in admin.items()} == {"/console": others}
