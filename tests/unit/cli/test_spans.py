"""Spans of time as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from prism_core.cli.spans import parse_span

NOW = 1_700_000_000.0
FIRST = datetime(2026, 11, 1).timestamp()


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("all", None, None),
        ("last:24h", NOW - 86_400, None),
        ("2026-11-01..2026-11-01T12:00", FIRST, FIRST + 43_200),
        ("2026-11-01..", FIRST, None),
        ("..2026-11-01", None, FIRST),
        ("2026-11-01T00:00+00:00..", 1_793_491_200.0, None),
    ],
)
def test_spans(text, since, until):
    assert parse_span(text, NOW) == (since, until)


@pytest.mark.parametrize("text", ["", "..", "24h", "last:", "last:x", "a..b", "2026-11-02..2026-11-01"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"expected|before"):
        parse_span(text, NOW)
