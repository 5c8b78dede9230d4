"""What h2load said is counted: its rate, the latencies behind the warm-up, and the bytes of all answers."""

from __future__ import annotations

import pytest

from bench import h2load
from bench.h2load import Request

SAID = """Main benchmark duration is over for thread #0. Stopping all clients.

finished in 3.00s, 2.00 req/s, 301.09KB/s
requests: 4 total, 4 started, 4 done, 3 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 3 2xx, 0 3xx, 1 4xx, 0 5xx
traffic: 602.18KB (616637) total, 33.56KB (34365) headers (space savings 95.69%), 433.08KB (360) data
"""
# Two of the warm-up, four later: start, status, microseconds.
LOG = [
    "0 200 9000",
    "100 200 9000",
    "3000000 200 1000",
    "3100000 200 2000",
    "3200000 200 3000",
    "3999000 404 1000",
]


def test_latencies_are_of_the_load_and_answer_bytes_of_all():
    found = h2load.summary(SAID, LOG, seconds=2, generator_cores=0.1)

    assert (found.rps, found.p50_ms, found.p99_ms) == (2, 2, 3)
    assert (found.errors, found.requests, found.answer_bytes) == (1, 6, 60)


def test_a_load_that_failed_shows_what_was_said():
    with pytest.raises(ValueError, match="could not connect"):
        h2load.summary("could not connect to host", [], seconds=2, generator_cores=0.1)


def test_a_message_of_grpc_has_its_prefix():
    assert Request("", {}, b"abc", grpc=True).data() == b"\0\0\0\0\3abc"
    assert Request("", {}, b"abc").data() == b"abc"
