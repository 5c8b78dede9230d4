"""Heads of requests: read in one way, or refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import HeadTooLarge, MalformedBody, MalformedRequest, UnsupportedInput
from prism_core.runtime.heads import MAX_HEADERS, body_type, parse, timeout_of

HOST = b"\r\nHost: prism"
POST = b"POST /predict HTTP/1.1" + HOST


def test_what_a_head_says():
    found = parse(
        b"POST /model/a%20b/predict?outputs=a,b HTTP/1.1\r\nHost: x\r\nContent-LENGTH:  12 \r\nAccept: a"
    )

    assert (found.method, found.path, found.query) == ("POST", "/model/a b/predict", "outputs=a,b")
    assert found.headers == {"host": "x", "content-length": "12", "accept": "a"}
    assert (found.length, found.keeps) == (12, True)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET / HTTP/1.1" + HOST, True),
        (b"GET / HTTP/1.1\r\nConnection: close" + HOST, False),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade, Close" + HOST, False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", True),
        (b"GET http://prism:80/v2 HTTP/1.1" + HOST, True),
    ],
)
def test_whether_the_connection_goes_on(head, keeps):
    assert parse(head).keeps is keeps


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET / HTTP/2.0" + HOST,
        b"GET  / HTTP/1.1" + HOST,
        b"get / HTTP/1.1" + HOST,
        b"GET * HTTP/1.1" + HOST,
        b"GET /\t HTTP/1.1" + HOST,
        b"GET /\xff HTTP/1.1" + HOST,
        b"GET https://x/ HTTP/1.1" + HOST,
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\nHost: x",
        POST + b"\r\nContent-Length: 1\r\nContent-Length: 1",
        POST + b"\r\nContent-Length: 1\r\ncontent-length: 2",
        POST + b"\r\nContent-Length: 1, 1",
        POST + b"\r\nContent-Length: +1",
        POST + b"\r\nContent-Length: -1",
        POST + b"\r\nContent-Length: 1_0",
        POST + "\r\nContent-Length: \u00b2".encode("latin-1"),
        POST + b"\r\nContent-Length: " + b"9" * 19,
        POST + b"\r\nTransfer-Encoding: chunked",
        POST + b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        POST + b"\r\nTransfer-Encoding : chunked",
        POST + b"\r\n Content-Length: 1",
        POST + b"\r\nContent-Length : 1",
        POST + b"\r\nX: a\nContent-Length: 1",
        POST + b"\r\nX: a\rContent-Length: 1",
        POST + b"\r\nX: a\0b",
        POST + b"\r\n: a",
        POST + b"\r\nno colon",
        POST + HOST,
    ],
)
def test_what_two_servers_might_read_differently_is_refused(head):
    with pytest.raises(MalformedRequest):
        parse(head)


def test_headers_without_end_are_refused():
    with pytest.raises(HeadTooLarge):
        parse(POST + b"\r\nX: a" * (MAX_HEADERS + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(MalformedRequest, HeadTooLarge):
        found = parse(POST + b"\r\n" + data)
        assert found.length == int(found.headers.get("content-length", 0)) >= 0


def head_with(*lines):
    return parse(b"\r\n".join([POST, *lines]))


@pytest.mark.parametrize(("lines", "seconds"), [((), 30.0), ((b"X-Prism-Timeout: 2.5",), 2.5)])
def test_how_long_an_answer_may_take(lines, seconds):
    assert timeout_of(head_with(*lines), 30.0) == seconds


@pytest.mark.parametrize("told", [b"soon", b"0", b"-1", b"nan", b"inf", b"86400"])
def test_a_timeout_that_is_none(told):
    with pytest.raises(MalformedBody):
        timeout_of(head_with(b"X-Prism-Timeout: " + told), 30.0)


def test_what_a_body_is():
    assert body_type(head_with(b"Content-Type: text/csv; header=false")) == "text/csv; header=false"
    assert body_type(head_with(b"Content-Type: application/x-www-form-urlencoded")) == ""
    with pytest.raises(UnsupportedInput):
        body_type(head_with(b"Content-Encoding: gzip"))
