"""Ids of requests: taken, made, and taken off a head."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.requests import Identified, id_of, made_id, without_id

BEFORE = b"POST /model/m/predict HTTP/1.1\r\nHost: prism\r\n"
AFTER = b"Content-Length: 5\r\n\r\n"
VALID = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)


def test_made_ids_differ_and_are_valid():
    made = [made_id() for _ in range(1000)]

    assert len(set(made)) == 1000
    assert id_of([(b"x-request-id", made[0].encode())]) == made[0]


@pytest.mark.parametrize("given_id", [b"", b"a b", b"a\tb", b"\xc3\xa4", b"a" * 129, b"a\x00", b"<script>"])
def test_an_odd_id_is_replaced(given_id):
    assert id_of([(b"x-request-id", given_id)]).encode() != given_id


def test_two_ids_are_none():
    assert id_of([(b"x-request-id", b"a"), (b"x-request-id", b"b")]) not in ("a", "b")


@given(VALID, st.sampled_from([b"X-Request-Id", b"x-request-id", b"X-Request-ID"]))
def test_an_id_is_taken_off_a_head(given_id, name):
    head = BEFORE + name + b": " + given_id.encode() + b"\r\n" + AFTER

    assert without_id(head) == (BEFORE + AFTER, given_id)


def test_the_last_line_may_be_the_id():
    assert without_id(BEFORE + b"X-Request-Id: a\r\n\r\n") == (BEFORE + b"\r\n", "a")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"X-REQUEST-ID: a\r\n",
        b"X-Request-Id:a\r\n",
        b"X-Request-Id: \r\n",
        b"X-Request-Id: a b\r\n",
        b"X-Request-Id: " + b"a" * 129 + b"\r\n",
        b"X-Request-Id: a\r\n b\r\n",
        b"X-Request-Id: a\r\n\tb\r\n",
        b"X-Request-Id: a\rb\r\n",
        b"X-Request-Id: a\nb\r\n",
        b"Not-X-Request-Id: a\r\n",
    ],
)
def test_what_is_not_plainly_an_id_stays(line):
    head = BEFORE + line + AFTER

    assert without_id(head) == (head, "")


@given(st.binary(max_size=200))
def test_no_bytes_are_lost_or_made(data):
    rest, found = without_id(data)

    assert len(rest) == len(data) - (len(found) + len("X-Request-Id: \r\n") if found else 0)


async def test_an_answer_has_the_id_once():
    async def app(scope, receive, send):
        headers = [(b"X-Request-Id", b"the application's"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"x-request-id", b"r-1")]}
    await Identified(app)(scope, None, send)

    assert sent[0]["headers"] == [(b"content-type", b"text/plain"), (b"x-request-id", b"r-1")]
