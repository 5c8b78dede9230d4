"""The rows of a request by the names of their columns, in every form."""

from __future__ import annotations

import json

import pytest

from prism_core.traffic.replaying.features import rows_of
from prism_core.types import Signature, TensorSpec

OUT = (TensorSpec("y", "FP64", (-1,)),)
COLUMNS = Signature(
    (TensorSpec("country", "BYTES", (-1,)), TensorSpec("age", "FP64", (-1, 1))), OUT, columnar=True
)
MATRIX = Signature((TensorSpec("x", "FP64", (-1, 2), columns=("a", "b")),), OUT)
UNNAMED = Signature((TensorSpec("x", "FP64", (-1, 2)),), OUT)
ROWS = [{"country": "DE", "age": 3}, {"country": "FR", "age": None}]


def tensor(name: str, shape: list[int], data: list) -> dict:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        [["DE", 3], ["FR", None]],
        {"country": ["DE", "FR"], "age": [3, None]},
        {"country": ["DE", "FR"], "age": [[3], [None]]},
        {"columns": ["country", "age"], "data": [["DE", 3], ["FR", None]]},
        [tensor("country", [2], ["DE", "FR"]), tensor("age", [2, 1], [3, None])],
    ],
)
def test_every_form_of_a_table(value):
    assert rows_of(json.dumps({"input": value}).encode(), COLUMNS) == ROWS
    assert rows_of(json.dumps({"instances": value, "id": "a"}).encode(), COLUMNS) == ROWS


@pytest.mark.parametrize(
    "value", [[[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}, [tensor("x", [2, 2], [1, 2, 3, 4])]]
)
def test_every_form_of_a_matrix_with_names(value):
    assert rows_of(json.dumps({"inputs": value}).encode(), MATRIX) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize(
    "body",
    [
        b"\x93NUMPY",
        b"a,b\n1,2",
        b'{"input": [[1, 2, 3]]}',
        b'{"input": [[1, 2], 3]}',
        b'{"input": 7}',
        b'{"nothing": []}',
        b'{"input": {"country": ["DE"], "age": [1, 2]}}',
        b"[" * 100_000,
        b'"' + b"a" * 300_000 + b'"',
    ],
)
def test_what_is_no_table_has_no_rows(body):
    assert rows_of(body, COLUMNS) == []


def test_a_table_without_names_has_no_rows_by_name():
    assert rows_of(b'{"input": [[1, 2]]}', UNNAMED) == []


def test_one_row_alone_and_long_texts_cut_off():
    assert rows_of(b'{"input": {"country": "%b", "age": 1}}' % (b"x" * 200), COLUMNS) == [
        {"country": "x" * 80, "age": 1}
    ]
