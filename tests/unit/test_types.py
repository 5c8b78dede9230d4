"""Tensors, signatures and batches."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.types import (
    NUMPY_TYPES,
    Batch,
    Signature,
    TensorSpec,
    concatenate,
    datatype_of,
    rows_of,
    told_ranges,
)

SIGNATURE = Signature(
    inputs=(
        TensorSpec("tenure", "INT64", (-1,)),
        TensorSpec("plan", "BYTES", (-1,), categories=("basic", "plus")),
    ),
    outputs=(TensorSpec("predictions", "BYTES", (-1,)), TensorSpec("probabilities", "FP64", (-1, 2))),
    default_outputs=("predictions",),
    columnar=True,
    classes=("no", "yes"),
)


@pytest.mark.parametrize(("datatype", "dtype"), NUMPY_TYPES.items())
def test_every_datatype_has_a_dtype_and_back(datatype, dtype):
    assert datatype_of(dtype) == datatype
    assert TensorSpec("x", datatype, (-1,)).dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [("<U7", "BYTES"), ("S3", "BYTES"), (">f4", "FP32"), ("<i8", "INT64"), ("?", "BOOL"), (">u2", "UINT16")],
)
def test_strings_of_any_length_and_any_byte_order_are_known(dtype, datatype):
    assert datatype_of(np.dtype(dtype)) == datatype


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "timedelta64[s]"])
def test_what_has_no_datatype_is_a_key_error(dtype):
    with pytest.raises(KeyError):
        datatype_of(np.dtype(dtype))


def test_an_input_is_found_by_its_name():
    assert SIGNATURE.input("plan") is SIGNATURE.inputs[1]
    assert SIGNATURE.input("plna") is None


def test_default_outputs_are_computed_or_all_of_them():
    every = Signature(SIGNATURE.inputs, SIGNATURE.outputs)

    assert SIGNATURE.computed == ("predictions",)
    assert every.computed == ("predictions", "probabilities")


def test_the_primary_output_is_named_or_the_first():
    named = Signature(SIGNATURE.inputs, SIGNATURE.outputs, primary="probabilities")

    assert named.predictions == "probabilities"
    assert SIGNATURE.predictions == "predictions"


def test_a_signature_crosses_json_and_msgpack_unchanged():
    plain = msgspec.to_builtins(SIGNATURE)

    for codec in (msgspec.json, msgspec.msgpack):
        crossed = msgspec.convert(codec.decode(codec.encode(plain)), Signature)
        assert crossed == SIGNATURE
        assert hash(crossed) == hash(SIGNATURE)


@pytest.mark.parametrize(
    ("tensors", "rows"),
    [
        ({}, 0),
        ({"x": np.zeros((3, 2))}, 3),
        ({"x": np.zeros((0, 2))}, 0),
        ({"x": np.array(1.0)}, 1),
        ({"x": [{"a": 1.0}, {"a": 2.0}]}, 2),
    ],
)
def test_rows_are_the_length_of_the_first_axis(tensors, rows):
    assert Batch(tensors).rows == rows


lengths = st.lists(st.integers(0, 5), min_size=1, max_size=6)


@given(lengths, st.sampled_from(["int64", "float32", "object"]))
def test_joined_batches_come_apart_again(counts, dtype):
    at, parts = 0, []
    for count in counts:
        values = np.arange(at, at + count).astype(dtype)
        parts.append(Batch({"x": values, "y": np.stack([values, values], axis=1)}, ("predictions",)))
        at += count
    joined = concatenate(parts)

    assert joined.rows == at
    assert joined["x"].dtype == dtype
    assert joined.outputs == ("predictions",)
    start = 0
    for part in parts:
        again = rows_of(joined, start, start + part.rows)
        np.testing.assert_array_equal(again["x"], part["x"])
        np.testing.assert_array_equal(again["y"], part["y"])
        start += part.rows


def test_one_batch_is_not_copied():
    batch = Batch({"x": np.zeros(3)})

    assert concatenate([batch]) is batch


def test_rows_are_views():
    batch = Batch({"x": np.zeros(3)})

    assert rows_of(batch, 1, 2)["x"].base is batch["x"]


@pytest.mark.parametrize(
    ("known", "places", "told"),
    [
        ({}, 3, ()),
        ({1: (0.0, 1.0)}, 3, (None, (0.0, 1.0), None)),
        ({0: (0.0, 16.0), 1: (0.0, 16.0)}, 2, ((0.0, 16.0),)),
        ({0: (5.449999809265137, 7.10001)}, 1, ((5.45, 7.1),)),
        ({0: (3.0, 1_700_000_000.4)}, 1, ((3.0, 1_700_000_000.0),)),
        ({0: (0.000012345, 0.000023456)}, 1, ((0.00001234, 0.00002346),)),
        ({0: (5.0, 5.0), 1: (0.0, 0.0)}, 2, ()),
        ({0: (np.nan, 1.0), 1: (2.0, 1.0), 2: (-np.inf, 0.0), 3: (-1.7e308, 1.7e308)}, 4, ()),
        ({place: (0.0, 1.0) for place in range(5000)}, 5000, ((0.0, 1.0),)),
        ({place: (0.0, 1.0) for place in range(4999)}, 5000, ()),
    ],
)
def test_ranges_are_short_finite_and_in_order(known, places, told):
    assert told_ranges(known, places) == told


@given(st.dictionaries(st.integers(0, 9), st.tuples(st.floats(), st.floats())))
def test_whatever_is_known_makes_a_signature_that_can_be_sent(known):
    spec = TensorSpec("X", "FP64", (-1, 10), ranges=told_ranges(known, 10))

    assert msgspec.json.decode(msgspec.json.encode(spec), type=TensorSpec) == spec
    assert all(one is None or one[0] < one[1] for one in spec.ranges)


def test_a_range_is_asked_for_by_place():
    each = TensorSpec("X", "FP64", (-1, 2), ranges=((0.0, 1.0), None))
    alike = TensorSpec("X", "FP64", (-1, 2), ranges=((0.0, 1.0),))

    assert [each.range_of(0), each.range_of(1)] == [(0.0, 1.0), None]
    assert [alike.range_of(0), alike.range_of(1)] == [(0.0, 1.0)] * 2
    assert TensorSpec("X", "FP64", (-1, 2)).range_of(1) is None


def test_a_signature_that_was_stored_before_there_were_ranges_is_read():
    stored = b'{"name": "X", "datatype": "FP64", "shape": [-1, 2], "nullable": false, "columns": []}'

    assert msgspec.json.decode(stored, type=TensorSpec) == TensorSpec("X", "FP64", (-1, 2))
