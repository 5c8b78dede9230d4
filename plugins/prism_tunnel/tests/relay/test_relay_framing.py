"""HTTP/1.1 as the relay reads it: one framing, and what could be read in two ways is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_tunnel.relay.framing import (
    END,
    HEAD_BYTES,
    Fault,
    Framing,
    RequestHead,
    Requests,
    ResponseHead,
    Responses,
    framed,
)

HOST = b"Host: ann.links.test\r\n"


def read(data, sizes=()):
    """Feed bytes in pieces of these sizes, the rest at once; return the events, bodies joined."""
    reader, events = Requests(), []
    for size in sizes:
        events += reader.feed(data[:size])
        data = data[size:]
    events += reader.feed(data)
    return joined(events)


def joined(events):
    """Join neighbouring pieces of a body."""
    out = []
    for event in events:
        if isinstance(event, bytes) and out and isinstance(out[-1], bytes):
            out[-1] += event
        else:
            out.append(event)
    return out


def faults(data):
    return [one.status for one in read(data) if isinstance(one, Fault)]


def test_a_request_is_its_head_its_body_and_an_end():
    head, body, end = read(b"POST /p?x=1 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")

    assert (head.method, head.target, head.framing, head.length) == (b"POST", b"/p?x=1", Framing.LENGTH, 3)
    assert head.keep_alive
    assert (body, end) == (b"abc", END)


def test_a_chunked_body_is_taken_out_of_its_chunks():
    """Sizes may be extended, trailers may follow: neither is passed on."""
    chunks = b"3;a=b\r\nabc\r\n02\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    head, body, end = read(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)

    assert head.framing is Framing.CHUNKED
    assert (body, end) == (b"abcde", END)


def test_requests_in_a_row_are_told_apart():
    one = b"POST /1 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi"
    events = read(one + one.replace(b"T /1", b"T /2"))

    assert [getattr(event, "target", event) for event in events] == [b"/1", b"hi", END, b"/2", b"hi", END]


SMUGGLED = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "both lengths, the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n",
    "the same length twice": b"Content-Length: 4\r\nContent-Length: 4\r\n",
    "a list of lengths": b"Content-Length: 4, 4\r\n",
    "a length with a sign": b"Content-Length: +4\r\n",
    "a negative length": b"Content-Length: -4\r\n",
    "a length in hex": b"Content-Length: 0x4\r\n",
    "an empty length": b"Content-Length: \r\n",
    "a length that overflows": b"Content-Length: 99999999999999999999\r\n",
    "a coding that is not known": b"Transfer-Encoding: gzip\r\n",
    "a coding before chunks": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked, but not last": b"Transfer-Encoding: chunked, identity\r\n",
    "almost chunked": b"Transfer-Encoding: xchunked\r\n",
    "chunked with a tab behind": b"Transfer-Encoding: chunked\x0b\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n",
    "a bare line feed": b"X: a\nTransfer-Encoding: chunked\r\n",
    "a bare carriage return": b"X: a\rTransfer-Encoding: chunked\r\n",
    "a zero in a value": b"X: a\x00b\r\n",
    "a control character in a value": b"X: a\x01b\r\n",
    "a name that is none": b"X(y): a\r\n",
    "no name": b": a\r\n",
    "a second host": b"Host: bob.links.test\r\n",
}


@pytest.mark.parametrize("lines", SMUGGLED.values(), ids=SMUGGLED)
def test_what_can_be_read_in_two_ways_is_refused(lines):
    data = (
        b"POST / HTTP/1.1\r\n"
        + HOST
        + lines
        + b"\r\n4\r\nabcd\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n"
        + HOST
        + b"\r\n"
    )

    assert faults(data) == [400]
    assert b"/evil" not in [getattr(event, "target", b"") for event in read(data)]


@pytest.mark.parametrize(
    "chunks",
    [
        b"4\nabcd\r\n0\r\n\r\n",
        b"4\r\nabcdXX0\r\n\r\n",
        b"-4\r\nabcd\r\n",
        b"0x4\r\nabcd\r\n",
        b"4 \r\nabcd\r\n",
        b"\r\n",
        b"fffffffffffffffff\r\n",
        b"4;\x00\r\nabcd\r\n",
    ],
)
def test_a_chunk_that_is_not_written_as_it_should_be_ends_the_connection(chunks):
    assert faults(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == [400]


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://ann.links.test/ HTTP/1.1",
        b"CONNECT ann.links.test:80 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /#x HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET /\x00 HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET / HTTP/1.1 ",
    ],
)
def test_a_request_line_that_is_not_for_a_server_like_this_is_refused(line):
    assert len(faults(line + b"\r\n" + HOST + b"\r\n")) == 1


def test_chunks_are_not_for_http_1_0():
    assert faults(b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == [400]


@pytest.mark.parametrize("hosts", [b"", HOST + HOST])
def test_a_request_has_one_host(hosts):
    assert faults(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n") == [400]


def test_a_head_that_never_ends_is_not_kept():
    reader, seen = Requests(), []
    for _ in range(3 * HEAD_BYTES // 1000):
        seen += reader.feed(
            b"GET / HTTP/1.1\r\n" if not seen and not reader.begun else b"X: " + b"y" * 995 + b"\r\n"
        )

    assert [one.status for one in seen] == [431]


def test_a_large_head_in_one_piece_is_refused_too():
    assert faults(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * HEAD_BYTES + b"\r\n\r\n") == [431]
    assert faults(b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n") == [431]


def test_a_large_body_is_no_large_head():
    body = b"x" * (4 * HEAD_BYTES)
    events = read(
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        [1000, 50_000, 70_000],
    )

    assert [type(event) for event in events] == [RequestHead, bytes, type(END)]
    assert events[1] == body


WEBSOCKET = b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_what_follows_a_websockets_head_is_no_http():
    reader = Requests()
    head, end = reader.feed(WEBSOCKET + b"\x81\x05")
    reader.feed(b"hello")

    assert head.websocket
    assert end is END
    assert reader.rest == b"\x81\x05hello"


def test_a_websocket_with_a_body_is_refused():
    assert faults(WEBSOCKET.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello")) == [400]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


def test_an_upgrade_to_anything_else_is_a_plain_request():
    """curl and Java offer HTTP/2 so; a tunnel of HTTP/2 would tell the laptop whatever the visitor likes."""
    post = b"POST /p HTTP/1.1\r\n" + HOST + H2C + b"Content-Length: 5\r\n\r\nhello"
    get = b"GET /next HTTP/1.1\r\n" + HOST + H2C + b"\r\n"
    events = read(post + get + post)

    assert [getattr(one, "target", one) for one in events] == [
        b"/p",
        b"hello",
        END,
        b"/next",
        END,
        b"/p",
        b"hello",
        END,
    ]
    assert not any(getattr(one, "websocket", False) for one in events)


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.integers(1, 40), max_size=12), st.booleans())
def test_it_does_not_matter_in_which_pieces_bytes_come(bodies, sizes, chunked):
    framing = Framing.CHUNKED if chunked else Framing.LENGTH
    data = b""
    for number, body in enumerate(bodies):
        lines = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
        last = b"0\r\n\r\n" if chunked else b""
        data += b"POST /%d HTTP/1.1\r\n" % number + HOST + lines + b"\r\n" + framed([body], framing) + last

    assert read(data, sizes) == read(data)
    assert [event for event in read(data) if isinstance(event, bytes)] == [body for body in bodies if body]


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=8))
def test_noise_never_raises_and_is_read_alike_in_any_pieces(noise, sizes):
    whole = [type(one) for one in read(b"POST / HTTP/1.1\r\n" + HOST + noise)]

    assert [type(one) for one in read(b"POST / HTTP/1.1\r\n" + HOST + noise, sizes)] == whole


# Answers.


def answer(data, method=b"GET", *, closed=False):
    reader = Responses(method)
    events = reader.feed(data)
    if closed:
        events.append(reader.close())
    return joined(events), reader


def test_an_answer_of_known_length():
    (head, body, end), reader = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    assert (head.status, head.reason, head.framing, body, end) == (200, b"OK", Framing.LENGTH, b"hi", END)
    assert reader.done


def test_an_answer_that_ends_with_its_connection():
    (head, body, end), _ = answer(b"HTTP/1.1 200 OK\r\n\r\nhi", closed=True)

    assert (head.framing, body, end) == (Framing.CLOSE, b"hi", END)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_an_answer_that_is_cut_off_is_no_answer(data):
    events, _ = answer(data, closed=True)

    assert isinstance(events[-1], Fault)
    assert END not in events


def test_signs_of_life_come_before_an_answer():
    (early, head, end), _ = answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    assert early.interim
    assert not head.interim
    assert (head.framing, end) == (Framing.NONE, END)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", b"200 OK"), (b"GET", b"304 Not Modified")])
def test_an_answer_may_only_tell_of_a_body(method, status):
    (head, end), _ = answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 99\r\n\r\n", method)

    assert (head.framing, head.length, end) == (Framing.NONE, 99, END)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nmore",
    ],
)
def test_more_than_an_answer_is_a_fault(data):
    """It would be taken for the answer to the next request."""
    reader = Responses(b"GET")
    events = reader.feed(data)
    events += reader.feed(b"x")

    assert any(isinstance(one, Fault) for one in events)
    assert sum(isinstance(one, ResponseHead) for one in events) == 1


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_none(lines):
    events, _ = answer(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nhi")

    assert isinstance(events[0], Fault)
    assert not any(isinstance(one, ResponseHead | bytes) for one in events)


def test_what_follows_an_agreed_websocket_is_no_http():
    (head, end), reader = answer(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81"
    )

    assert (head.status, head.interim, end) == (101, False, END)
    assert reader.rest == b"\x81"
