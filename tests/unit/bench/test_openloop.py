"""An open load is counted from when its requests were due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import openloop
from bench.openloop import Note


def test_refusals_are_counted_apart_from_answers():
    found = openloop.notes(["200 1000 10 0", "200 3000 20 0", "503 500 30 1", "503 700 30 0", "0 0 40 0"])
    summary = openloop.summary(found, rate=5)

    assert (summary["accepted_rps"], summary["refused_rps"], summary["failed"]) == (2, 2, 1)
    assert (summary["p50_ms"], summary["p99_ms"], summary["refused_p99_ms"]) == (3, 3, 0.7)
    assert summary["without_retry_after"] == 1


def test_a_rate_counts_until_the_last_answer():
    """A server that answers a second's requests in ten seconds does not answer them at their rate."""
    late = [Note(200, 9e6, 0, False) for _ in range(10)]

    assert openloop.summary(late, rate=10)["accepted_rps"] == pytest.approx(10 / 9.9)


def test_a_request_is_rendered_as_http():
    (request,) = openloop.rendered("http://h:1/p", ['{"a": "é"}'])

    head, body = request.split(b"\r\n\r\n")
    assert head.splitlines()[:2] == [b"POST /p HTTP/1.1", b"Host: h:1"]
    assert b"Content-Length: %d" % len(body) in head.splitlines()


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values, percent):
    found = openloop.percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
