"""Pairs of answers, added up row by row."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.replaying import judging as judging_module
from prism_core.gateway.traffic.replaying.concluding import outcome_of
from prism_core.gateway.traffic.replaying.judging import Judging
from prism_core.gateway.traffic.replaying.sending import Pair, Sending
from prism_core.traffic.comparing import Answer, Tolerance
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("country", "BYTES", (-1,)), TensorSpec("age", "FP64", (-1,))),
    (TensorSpec("y", "INT64", (-1,)),),
    columnar=True,
)


def answer(*labels: int, code: str = "ok", took_s: float = 0.01) -> Answer:
    body = json.dumps({"predictions": labels}).encode() if code == "ok" else b""
    return Answer("application/json" if body else "", body, code, took_s)


def pair(request: str, countries: list[str], baseline: Answer, candidate: Answer) -> Pair:
    rows = [{"country": country, "age": 7} for country in countries]
    body = json.dumps({"input": rows}).encode()
    return Pair(Exchange(1.0, body, request=request), baseline, candidate)


def outcome(judging: Judging, sent: int) -> Any:
    side: Any = SimpleNamespace(reference="m/1", most_in_flight=3)
    sending = Sending(side, side, None, judging.add, sent=sent)
    return outcome_of(judging, sending, "m", 0)


def test_rows_of_one_request_are_counted_by_their_own_features():
    judging = Judging(SIGNATURE, Tolerance())
    for at in range(50):
        labels = [0] * 4
        other = [1, 0, 0, 0]  # the first row, of Germany, differs
        judging.judge([pair(f"r{at}", ["DE", "FR", "US", "PL"], answer(*labels), answer(*other))])
    found = outcome(judging, 50)

    assert (found.compared_rows, found.differing_rows) == (200, 50)
    assert [(one.said, one.rows, one.differ) for one in found.slices] == [("country is DE", 50, 50)]
    assert all(one.row == {"country": "DE", "age": 7} for one in found.examples)
    assert found.times.answers == 50


def test_errors_are_told_by_side_and_not_timed():
    judging = Judging(SIGNATURE, Tolerance())
    ok, failed = answer(1), answer(code="model_failed")
    judging.judge(
        [pair("a", ["DE"], ok, failed), pair("b", ["DE"], failed, failed), pair("c", ["DE"], ok, ok)]
    )
    found = outcome(judging, 3)

    assert (found.baseline_errors, found.candidate_errors) == ({"model_failed": 1}, {"model_failed": 2})
    assert (found.new_errors, found.compared_rows, found.times.answers) == (1, 1, 1)
    assert found.uncompared == {}


def test_what_cannot_be_compared_is_counted():
    judging = Judging(SIGNATURE, Tolerance())
    judging.judge([pair("a", ["DE"], answer(1), answer(1, 2))])
    assert outcome(judging, 1).uncompared == {"row_counts": 1}


def test_a_body_without_names_is_compared_and_has_no_features():
    judging = Judging(SIGNATURE, Tolerance())
    judging.judge([Pair(Exchange(1.0, b"\x93NUMPY"), answer(1), answer(2))])
    found = outcome(judging, 1)
    assert (found.compared_rows, found.differing_rows, found.slices) == (1, 1, [])
    assert found.examples[0].row is None


async def test_pairs_beyond_what_may_wait_are_counted(monkeypatch):
    monkeypatch.setattr(judging_module, "MOST_PAIRS", 2)
    judging = Judging(SIGNATURE, Tolerance())
    for at in range(5):
        judging.add(pair(str(at), ["DE"], answer(1), answer(1)))
    await judging.finish()
    found = outcome(judging, 5)
    assert (found.compared_rows, found.uncompared) == (2, {"busy": 3})
