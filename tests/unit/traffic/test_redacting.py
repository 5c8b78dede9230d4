"""Bodies in all their forms, without the values that were named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.inputs.json_in import normalize
from prism_core.plugin import Request
from prism_core.traffic.redacting import Redactor, Unredactable
from prism_core.types import Signature, TensorSpec

KEY = b"k" * 32
REQUEST = Request({}, {})
OUT = (TensorSpec("y", "FP64", (-1,)),)
COLUMNS = Signature(
    (
        TensorSpec("age", "FP64", (-1,)),
        TensorSpec("email", "BYTES", (-1,)),
        TensorSpec("country", "BYTES", (-1,)),
    ),
    OUT,
    columnar=True,
)
MATRIX = Signature((TensorSpec("x", "FP64", (-1, 2), columns=("age", "email")),), OUT)
UNNAMED = Signature((TensorSpec("x", "FP64", (-1, 2)),), OUT)
PAIR = Signature(
    (TensorSpec("email", "BYTES", (-1,)), TensorSpec("x", "FP64", (-1, 2), columns=("a", "b"))), OUT
)
SECRET = "ann@example.org"


def hidden(text: str = SECRET) -> str:
    found = Redactor(["email"], KEY).body(json.dumps({"email": text}).encode(), "", COLUMNS)
    return json.loads(found)["email"]


def redacted(body: Any, signature: Signature | None = COLUMNS, *names: str, media_type: str = "") -> Any:
    found = Redactor(names or ["email"], KEY).body(json.dumps(body).encode(), media_type, signature)
    return json.loads(found)


@pytest.mark.parametrize(
    ("body", "signature", "expected"),
    [
        ({"input": [{"age": 3, "email": SECRET}]}, COLUMNS, {"input": [{"age": 3, "email": "#"}]}),
        ({"instances": [{"Email": SECRET}]}, COLUMNS, {"instances": [{"Email": "#"}]}),
        ({"input": {"age": 3, "email": SECRET}}, COLUMNS, {"input": {"age": 3, "email": "#"}}),
        ({"input": {"age": [3], "email": [SECRET]}}, COLUMNS, {"input": {"age": [3], "email": ["#"]}}),
        ({"input": [[3, SECRET, "DE"]]}, COLUMNS, {"input": [[3, "#", "DE"]]}),
        ({"input": [3, SECRET, "DE"]}, COLUMNS, {"input": [3, "#", "DE"]}),
        ([[3, SECRET, "DE"]], COLUMNS, [[3, "#", "DE"]]),
        ({"input": [[[3], [SECRET], ["DE"]]]}, COLUMNS, {"input": [[[3], ["#"], ["DE"]]]}),
        (
            {"input": [[1, SECRET, "a"], [2, SECRET, "b"], [3, SECRET, "c"]]},
            COLUMNS,
            {"input": [[1, "#", "a"], [2, "#", "b"], [3, "#", "c"]]},
        ),
        (
            {"input": {"columns": ["email", "age"], "data": [[SECRET, 3]]}},
            COLUMNS,
            {"input": {"columns": ["email", "age"], "data": [["#", 3]]}},
        ),
        ({"input": {"x": [[3, 7.5]]}}, MATRIX, {"input": {"x": [[3, 0.0]]}}),
        ({"input": [[3, 7], [4, 8]]}, MATRIX, {"input": [[3, 0], [4, 0]]}),
        ({"input": [{"email": SECRET, "x": [1, 2]}]}, PAIR, {"input": [{"email": "#", "x": [1, 2]}]}),
        (
            {"inputs": [{"name": "email", "shape": [2], "datatype": "BYTES", "data": [SECRET, "b"]}]},
            COLUMNS,
            {"inputs": [{"name": "email", "shape": [2], "datatype": "BYTES", "data": ["#", hidden("b")]}]},
        ),
        (
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]},
            MATRIX,
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 0, 3, 0]}]},
        ),
        (
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}]},
            MATRIX,
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 0], [3, 0]]}]},
        ),
        (
            {"id": "q", "input": [{"age": 1}], "parameters": {"email": SECRET}},
            COLUMNS,
            {"id": "q", "input": [{"age": 1}], "parameters": {"email": "#"}},
        ),
        (
            {"input": [{"email": None}, {"email": True}, {"email": "17"}, {"email": {"b64": SECRET}}]},
            COLUMNS,
            {"input": [{"email": None}, {"email": False}, {"email": "0"}, {"email": {"b64": "#"}}]},
        ),
    ],
)
def test_a_named_value_is_replaced_in_every_form(body, signature, expected):
    assert redacted(body, signature) == json.loads(json.dumps(expected).replace('"#"', json.dumps(hidden())))


@pytest.mark.parametrize(
    ("body", "signature", "media_type"),
    [
        (b"age,email\n3,ann", COLUMNS, "text/csv"),
        (b"\x93NUMPY", COLUMNS, "application/x-npy"),
        (b'{"input": "ann"}', COLUMNS, "text/plain"),
        (b"17", COLUMNS, ""),
        (b'{"input": [[1, 2]]}', UNNAMED, ""),
        (b'{"input": {"x": [[1, 2]]}}', UNNAMED, ""),
        (b'{"input": [[1, 2]]}', None, ""),
        (b'{"input": [[1, "a"]]}', COLUMNS, ""),
        (b'{"input": [{"age": 1}, [1, "ann", "DE"]]}', COLUMNS, ""),
        (b"[" * 10_000 + b"]" * 10_000, COLUMNS, ""),
        (b'{"inputs": [{"name": "x"}]}\x00\x00\x80\x3f', MATRIX, "application/vnd.prism.oip;header=27"),
    ],
)
def test_what_cannot_be_told_to_be_free_of_it_is_refused(body, signature, media_type):
    with pytest.raises(Unredactable):
        Redactor(["email"], KEY).body(body, media_type, signature)


def test_what_is_named_beside_the_values_needs_no_names_in_a_table():
    assert redacted({"id": "abc", "input": [[1, 2]]}, UNNAMED, "id")["input"] == [[1, 2]]


def test_equal_texts_stay_equal_and_another_key_hides_them_otherwise():
    body = json.dumps({"input": [{"email": text} for text in ("ann", "bob", "ann")]}).encode()
    one, other = (
        json.loads(Redactor(["email"], key).body(body, "", COLUMNS))["input"] for key in (KEY, b"other")
    )
    assert one[0] == one[2] != one[1]
    assert one[0] != other[0]


def test_a_key_that_occurs_twice_leaves_nothing_behind():
    body = b'{"input": [{"email": "first@x", "email": "second@x"}]}'
    assert b"@x" not in Redactor(["email"], KEY).body(body, "", COLUMNS)


def test_a_query_loses_its_value_too():
    redactor = Redactor(["email"], KEY)
    assert redactor.query("email=ann%40x&outputs=y") == f"email={hidden('ann@x')}&outputs=y"
    assert redactor.query("outputs=%20y") == "outputs=%20y"


SCALARS = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdx"), inner, max_size=4),
    max_leaves=20,
)


@given(
    value=DOCUMENTS,
    at=st.sampled_from(["age", "email", "country"]),
    rows=st.integers(1, 4),
    form=st.sampled_from(["records", "columns", "rows", "split", "v2"]),
)
def test_no_form_of_a_valid_body_gives_a_named_value_away(value, at, rows, form):
    """Whatever the value is: a marker inside of it is gone, and what was not named is as it was."""
    marked = json.loads(json.dumps(["<<secret>>", value]))
    names = ["age", "email", "country"]
    row = [marked if name == at else f"kept-{name}" for name in names]
    body = FORMS[form](names, [row] * rows)
    encoded = Redactor([at], KEY).body(msgspec.json.encode(body), "", COLUMNS)

    assert b"secret" not in encoded
    assert all(encoded.count(b"kept-%b" % name.encode()) == rows for name in names if name != at)


@given(
    redact=st.sets(st.sampled_from(["age", "email", "country"]), min_size=1),
    rows=st.lists(st.tuples(st.floats(-1e6, 1e6), st.text(), st.text()), min_size=1, max_size=4),
    form=st.sampled_from(["records", "columns", "rows", "split"]),
)
def test_a_model_reads_a_redacted_body_as_it_read_the_other(redact, rows, form):
    """As many rows, and what was not named as it was."""
    body = FORMS[form](["age", "email", "country"], [list(row) for row in rows])
    encoded = msgspec.json.encode(body)
    before = normalize(memoryview(encoded), COLUMNS, REQUEST)
    after = normalize(memoryview(Redactor(redact, KEY).body(encoded, "", COLUMNS)), COLUMNS, REQUEST)
    for name, values in before.tensors.items():
        assert len(after.tensors[name]) == len(values)
        assert name in redact or list(after.tensors[name]) == list(values)


FORMS = {
    "records": lambda names, rows: {"input": [dict(zip(names, row, strict=True)) for row in rows]},
    "columns": lambda names, rows: {
        "input": {name: [row[i] for row in rows] for i, name in enumerate(names)}
    },
    "rows": lambda names, rows: {"input": rows},
    "split": lambda names, rows: {"input": {"columns": names, "data": rows}},
    "v2": lambda names, rows: {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": "BYTES", "data": [row[i] for row in rows]}
            for i, name in enumerate(names)
        ]
    },
}
