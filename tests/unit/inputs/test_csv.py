import math

import numpy as np
import pytest

from prism_core.plugin import InvalidInput, MalformedBody, Signature, TensorSpec

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
TABLE = Signature(
    (
        TensorSpec("tenure", "INT64", (-1,)),
        TensorSpec("plan", "BYTES", (-1,)),
        TensorSpec("charge", "FP64", (-1, 1), nullable=True),
        TensorSpec("active", "BOOL", (-1,)),
    ),
    OUTPUTS,
    columnar=True,
)
HEADER = b"tenure,plan,charge,active\n"
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 2)),), OUTPUTS)
NAMED = Signature((TensorSpec("x", "FP32", (-1, 2), columns=("a", "b")),), OUTPUTS)
TEXT = Signature((TensorSpec("text", "BYTES", (-1,)),), OUTPUTS)


def test_columns_are_found_by_name(read):
    batch = read(b'plan,charge,active,tenure\nbasic,1.5,true,3\n"a, b",,False,4.0\n', TABLE, "text/csv")

    assert batch["tenure"].tolist() == [3, 4]
    assert batch["plan"].tolist() == ["basic", "a, b"]
    assert batch["charge"][0].tolist() == [1.5]
    assert math.isnan(batch["charge"][1, 0])
    assert batch["active"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (b"1,2\n3,4\n", {}),
        (b"1,2\n3,4", {"header": "false"}),
        (b"first,second\r\n1,2\r\n\r\n3,4\r\n", {}),
        (b"\xef\xbb\xbfa,b\n 1 ,2\n+3,4.\n", {}),
        (b'"1","2"\n"3","4"\n', {}),
    ],
)
def test_a_model_without_names_takes_columns_by_place(read, body, parameters):
    assert read(body, MATRIX, "text/csv", **parameters)["x"].tolist() == [[1, 2], [3, 4]]


def test_a_model_with_names_takes_columns_by_place_when_told(read):
    assert read(b"1,2\n", NAMED, "text/csv", header="false")["x"].tolist() == [[1, 2]]


def test_a_named_matrix_is_ordered_by_its_header(read):
    assert read(b"b,a\n1,2\n", NAMED, "text/csv")["x"].tolist() == [[2, 1]]


def test_text_a_line(read):
    assert read(b'review\n"good, really"\nbad\n""\n', TEXT, "text/csv")["text"].tolist() == [
        "good, really",
        "bad",
        "",
    ]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (HEADER + b"3.5,a,x,true\n", [(0, "tenure"), (0, "charge")]),
        (HEADER + b",a,,true\n", [(0, "tenure")]),
        (HEADER + b"3,a,1,maybe\n3,a,1,1\n", [(0, "active"), (1, "active")]),
        (HEADER + b"3,a,1,true\n3,a,1\n3,a,1,true,4\n", [(1, ""), (2, "")]),
        (HEADER + b'"1,2",a,1,true\n', [(0, "tenure")]),
        (HEADER + b"1_000,a,1e999,true\n", [(0, "tenure"), (0, "charge")]),
        (HEADER + b"9223372036854775808,a,9007199254740993,true\n", [(0, "tenure"), (0, "charge")]),
        (HEADER + b"3,a,inf,true\n", [(0, "charge")]),
        (b"tenure,pln,charge,active\n3,a,1,true\n", [(0, "pln"), (0, "plan")]),
    ],
)
def test_every_fault_is_told_with_its_row_and_column(faults, body, places):
    assert faults(body, TABLE, "text/csv") == places


@pytest.mark.parametrize(
    ("body", "model", "message"),
    [
        (b"", TABLE, "no rows"),
        (HEADER, TABLE, "no rows"),
        (b"1,2\n", NAMED, "numbers"),
        (b"a,a\n1,2\n", NAMED, "twice"),
    ],
)
def test_other_bad_tables(read, body, model, message):
    with pytest.raises(InvalidInput, match=message):
        read(body, model, "text/csv")


def test_a_tensor_of_rank_four_is_no_table(read):
    with pytest.raises(InvalidInput, match="not a table"):
        read(b"1\n", Signature((TensorSpec("x", "FP32", (-1, 1, 2, 2)),), OUTPUTS), "text/csv")


@pytest.mark.parametrize("body", [b'a,b\n"1,2\n', b"a,b\n\xff,2\n", b'a,b\n"1"x,2\n'])
def test_what_is_not_csv_is_malformed(read, body):
    with pytest.raises(MalformedBody):
        read(body, MATRIX, "text/csv")


def test_an_unknown_flag_is_refused(read):
    with pytest.raises(InvalidInput, match="header"):
        read(b"1,2\n", MATRIX, "text/csv", header="perhaps")


def test_answers_have_a_column_for_each_output_and_class(write):
    outputs = {
        "label": np.array(["no", 'a "b", c'], dtype=object),
        "probabilities": np.array([[0.1, 0.9], [np.nan, 1]], dtype=np.float32),
        "count": np.array([[1], [2]]),
        "good": np.array([True, False]),
        "map": [{"a": 1}, {"a": 2}],
    }

    assert write(outputs, "text/csv", classes=("no", "yes")).decode().splitlines() == [
        "predictions,probabilities_no,probabilities_yes,count_0,good,map",
        'no,0.1,0.9,1,true,"{""a"": 1}"',
        '"a ""b"", c",,1.0,2,false,"{""a"": 2}"',
    ]


def test_numbers_written_are_read_again_unchanged(read, write):
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)

    assert np.array_equal(read(write({"y": values}, "text/csv"), MATRIX, "text/csv")["x"], values)
