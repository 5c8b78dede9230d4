"""Answers of the protocol over REST."""

import numpy as np
import pytest

from prism_core.plugin import NUMPY_TYPES
from prism_oip.reply import Reply

VALUES = {
    "BOOL": [True, False],
    "FP16": [0.5, 65504.0],
    "FP32": [float(np.float32(0.1)), -3.0],
    "FP64": [0.1, 5e-324],
    "BYTES": ["é", ""],
}


def values_of(datatype):
    dtype = NUMPY_TYPES[datatype]
    known = VALUES.get(datatype)
    return np.array(known or [np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)


@pytest.mark.parametrize("datatype", NUMPY_TYPES)
def test_values_in_json_are_exact(write, datatype):
    values = values_of(datatype)

    said, raw = write({"y": values})

    (output,) = said["outputs"]
    assert output == {"name": "y", "datatype": datatype, "shape": [2], "data": output["data"]}
    assert np.array_equal(np.array(output["data"], values.dtype), values)
    assert raw == b""


@pytest.mark.parametrize("datatype", [name for name in NUMPY_TYPES if name != "BYTES"])
def test_raw_numbers_are_bit_equal(write, datatype):
    values = values_of(datatype)

    said, raw = write({"y": values}, Reply(raw=True))

    size = values.nbytes
    assert said["outputs"] == [
        {"name": "y", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": size}}
    ]
    assert raw == values.tobytes()


def test_raw_texts_have_their_length_before_them(write):
    _, raw = write({"y": np.array(["é", None, b"\xff"], object)}, Reply(raw=True))

    assert raw == b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00\x01\x00\x00\x00\xff"


def test_outputs_are_raw_where_that_is_asked_for(write):
    outputs = {"a": np.array([1, 2], np.uint8), "b": np.array([3], np.uint8), "c": np.array([4], np.uint8)}

    said, raw = write(outputs, Reply("42", raw_of={"a": True, "c": True}))

    assert said["id"] == "42"
    assert [one.get("data") for one in said["outputs"]] == [None, [3], None]
    assert raw == b"\x01\x02\x04"


def test_an_answer_says_whose_it_is(write):
    said, _ = write({"y": np.zeros(1)})

    assert (said["model_name"], said["model_version"], "id" in said) == ("churn", "3", False)


def test_values_are_flat_row_by_row(write):
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))

    said, _ = write({"y": array})
    _, raw = write({"y": array}, Reply(raw=True))

    assert (said["outputs"][0]["shape"], said["outputs"][0]["data"]) == ([2, 3], [0, 1, 2, 3, 4, 5])
    assert raw == np.arange(6, dtype="<i4").tobytes()


def test_what_is_no_number_of_json_is_null_and_told(write):
    said, _ = write({"y": np.array([np.nan, np.inf, 1]), "z": np.array([None], object)})

    assert [one["data"] for one in said["outputs"]] == [[None, None, 1.0], [None]]
    assert said["parameters"] == {"warnings": ["NaN or Infinity in 'y' was written as null."]}


@pytest.mark.parametrize(
    ("value", "shape", "data"),
    [
        ([{"a": 0.5, 1: np.float32(0.25)}, {}], [2], ['{"a":0.5,"1":0.25}', "{}"]),
        ([[1, 2], ["x"]], [2], ["[1,2]", '["x"]']),
        (["a", "b"], [2], ["a", "b"]),
        ({"a": 1}, [1], ['{"a":1}']),
        (np.array([[1, "a"]], object), [1, 2], ["1", '"a"']),
        (np.array(["2026-01-02"], "M8[D]"), [1], ["2026-01-02"]),
        (np.array([b"ab"], "S2"), [1], ["YWI="]),
        (np.array([np.str_("a"), None], object), [2], ["a", None]),
    ],
)
def test_what_is_no_array_of_numbers_becomes_text(write, value, shape, data):
    said, _ = write({"y": value})

    assert said["outputs"] == [{"name": "y", "datatype": "BYTES", "shape": shape, "data": data}]


def test_an_empty_raw_output_still_has_its_size(write):
    said, raw = write({"y": np.zeros((0, 3))}, Reply(raw=True))

    assert (said["outputs"][0]["parameters"], raw) == ({"binary_data_size": 0}, b"")


def test_the_reply_of_another_reader_says_nothing_here(write):
    said, raw = write({"y": np.zeros(1)}, "of another protocol")

    assert (said["outputs"][0]["data"], raw) == ([0.0], b"")


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "laid",
    [
        lambda values: values,
        lambda values: values.astype(values.dtype.newbyteorder(">")),
        np.asfortranarray,
        lambda values: np.repeat(values, 2, axis=1)[:, ::2],
        lambda values: values[::-1][::-1],
    ],
    ids=["plain", "big-endian", "columns first", "every other", "turned twice"],
)
def test_how_an_output_lies_in_memory_makes_no_difference(write, laid, raw):
    values = np.arange(6, dtype=np.int32).reshape(2, 3)

    said, behind = write({"y": laid(values)}, Reply(raw=raw))

    assert said["outputs"][0]["shape"] == [2, 3]
    told = np.frombuffer(behind, "<i4") if raw else np.array(said["outputs"][0]["data"])
    assert told.tolist() == [0, 1, 2, 3, 4, 5]


def test_an_output_of_no_axes_is_one_value(write):
    said, _ = write({"y": np.array(7)})

    assert said["outputs"] == [{"name": "y", "datatype": "INT64", "shape": [], "data": [7]}]


def test_answers_that_differ_in_shape_are_told_apart(write):
    """What stands before the values is remembered."""
    shapes = [write({"y": np.zeros((rows, 2))}, Reply(raw=rows == 2))[0]["outputs"][0] for rows in (1, 2, 1)]

    assert [one["shape"] for one in shapes] == [[1, 2], [2, 2], [1, 2]]
    assert [one.get("parameters") for one in shapes] == [None, {"binary_data_size": 32}, None]
