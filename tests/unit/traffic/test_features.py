"""The features of the first row of a body."""

from __future__ import annotations

import json

import pytest

from prism_core.traffic.features import LARGEST_BYTES, NoFeatures, features_of


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([{"age": 61, "name": "ann"}, {"age": 5}], {"age": 61, "name": "ann"}),
        ({"input": [{"age": 61}]}, {"age": 61}),
        ({"instances": {"age": 61}, "outputs": ["p"]}, {"age": 61}),
        ({"age": 61, "member": True, "since": None}, {"age": 61, "member": True, "since": None}),
        ({"age": [61, 5], "name": ["ann", "bo"]}, {"age": 61, "name": "ann"}),
        ({"inputs": {"x": [[1.0, 2.0], [3.0, 4.0]]}}, {"x": [1.0, 2.0]}),
        ({"columns": ["age", "name"], "data": [[61, "ann"], [5, "bo"]]}, {"age": 61, "name": "ann"}),
        ({"columns": ["age"], "data": [61]}, {"age": 61}),
        ({}, {}),
    ],
)
def test_of_whatever_form_that_names_them(said, found):
    assert features_of("application/json; charset=utf-8", json.dumps(said).encode()) == found
    assert features_of("", memoryview(json.dumps(said).encode())) == found


@pytest.mark.parametrize(
    ("media_type", "body", "why"),
    [
        ("text/csv", b"age\n61", "media_type"),
        ("application/json", b"[" + b" " * LARGEST_BYTES + b"]", "too_large"),
        ("application/json", b'{"age": ', "not_json"),
        ("application/json", b"\xff", "not_json"),
        ("application/json", b"[" * 100_000, "not_json"),
        ("application/json", b"[[61, 1]]", "no_names"),
        ("application/json", b"61", "no_names"),
        ("application/json", b'{"input": "text"}', "no_names"),
        ("application/json", b"[]", "no_rows"),
        ("application/json", b'{"age": []}', "no_rows"),
    ],
)
def test_why_there_are_none(media_type, body, why):
    with pytest.raises(NoFeatures, match=why):
        features_of(media_type, body)
