"""Requests and answers that are packed, at a real server."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from .conftest import HEADER, asked, error_of, raw, values_of
from .test_rest_predicting import INFER, close_to


def zlib_of(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib_of)])
def test_packed_requests(client, encoding, pack):
    head, behind = raw([[1, 2]])
    plain = client.post(
        INFER, content=pack(json.dumps(asked()).encode()), headers={"content-encoding": encoding}
    )
    with_tensors = client.post(
        INFER, content=pack(head + behind), headers={"content-encoding": encoding, HEADER: str(len(head))}
    )

    assert values_of(plain) == values_of(with_tensors) == close_to([80])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("raw_answer", [False, True])
def test_packed_answers(client, encoding, raw_answer):
    rows = [[float(n), 1.0] for n in range(500)]
    body = asked(rows, parameters={"binary_data_output": raw_answer})
    answer = client.post(INFER, json=body, headers={"accept-encoding": encoding})

    assert answer.headers["content-encoding"] == encoding
    assert "accept-encoding" in answer.headers["vary"]
    assert int(answer.headers["content-length"]) < 4000
    assert values_of(answer) == close_to([20 * n + 30 for n in range(500)])


def test_nothing_is_packed_unasked(client):
    answer = client.post(INFER, json=asked([[1, 2]] * 500), headers={"accept-encoding": "gzip;q=0, br"})

    assert "content-encoding" not in answer.headers


def test_what_is_packed_may_not_unpack_to_more_than_the_limit(client):
    answer = client.post(INFER, content=gzip.compress(b" " * 300_000), headers={"content-encoding": "gzip"})

    assert answer.status_code == 413
    error_of(answer)


@pytest.mark.parametrize(
    "spoil",
    [lambda body: body[:-4], lambda body: body + b"more", lambda body: b"\x1f\x8bx"],
    ids=["cut short", "more behind", "something else"],
)
def test_what_is_not_packed_as_it_says_is_malformed(client, spoil):
    body = spoil(gzip.compress(b"{}"))
    answer = client.post(INFER, content=body, headers={"content-encoding": "gzip"})

    assert answer.status_code == 400
    error_of(answer)


def test_a_header_beyond_what_comes_out_is_malformed(client):
    head, behind = raw([[1, 2]])
    headers = {"content-encoding": "gzip", HEADER: str(len(head) + len(behind) + 1)}
    answer = client.post(INFER, content=gzip.compress(head + behind), headers=headers)

    assert answer.status_code == 400
    assert HEADER in error_of(answer)
