"""Packed integers, by numpy's loops, beside what protobuf makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.plugin import MalformedBody
from prism_oip.reading import varints as reading
from prism_oip.rpc.oip_pb2 import InferTensorContents
from prism_oip.wire import field
from prism_oip.writing import varints as writing

TYPES = {
    "bool_contents": (np.bool_, st.booleans()),
    "int_contents": (np.int32, st.integers(-(2**31), 2**31 - 1)),
    "int64_contents": (np.int64, st.integers(-(2**63), 2**63 - 1)),
    "uint_contents": (np.uint32, st.integers(0, 2**32 - 1)),
    "uint64_contents": (np.uint64, st.integers(0, 2**64 - 1)),
}
# Numbers next to where one takes a byte more.
EDGES = sorted({(1 << 7 * size) + more for size in range(1, 10) for more in (-1, 0)})


def packed(name, values):
    """Return the bytes of a field as protobuf packs it."""
    message = InferTensorContents(**{name: values}).SerializeToString()
    return message[field(message, 0, len(message))[1] :] if message else b""


def unpack(data, dtype):
    return reading.unpack(np.frombuffer(data, dtype=np.uint8), np.dtype(dtype))


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_numbers_are_read_and_written_as_protobuf_does(name, data):
    dtype, one = TYPES[name]
    values = data.draw(st.lists(one, max_size=40))
    message = packed(name, values)

    found = unpack(message, dtype)

    assert found.dtype == dtype
    assert found.tolist() == values
    assert writing.pack(np.array(values, dtype=dtype)) == message


@pytest.mark.parametrize("many", [1, reading.PART_BYTES, 3 * writing.PART_VALUES + 1])
def test_numbers_of_all_sizes_beyond_the_end_of_a_part(many):
    values = np.resize(np.array([*EDGES, 2**64 - 1, 0], dtype=np.uint64), many)
    data = packed("uint64_contents", values.tolist())

    assert writing.pack(values) == data
    assert (unpack(data, np.uint64) == values).all()
    assert reading.count(np.frombuffer(data, dtype=np.uint8)) == many


def test_what_a_type_does_not_hold_is_cut_off_as_protobuf_does():
    data = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + b"\x80\x80\x80\x80\x10" + b"\x85\x80\x80\x80\x80\x01"
    message = InferTensorContents.FromString(b"\x12\x15" + data + b"\x0a\x05\x80\x80\x80\x80\x10")

    assert unpack(data, np.int32).tolist() == list(message.int_contents) == [-1, 0, 5]
    assert unpack(b"\x80\x80\x80\x80\x10", np.bool_).tolist() == list(message.bool_contents) == [True]


@pytest.mark.parametrize("size", [10, reading.PART_BYTES - 1, reading.PART_BYTES, 2 * reading.PART_BYTES])
def test_a_number_of_too_many_bytes_is_refused(size):
    with pytest.raises(MalformedBody, match="too many bytes"):
        unpack(b"\x01" + b"\x80" * size + b"\x01", np.int64)


@given(st.integers(0, 2**64 - 1))
def test_a_single_number_is_written_as_many_are(value):
    assert writing.varint(value) == writing.pack(np.array([value], dtype=np.uint64))


@pytest.mark.parametrize(
    ("number", "written"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2")]
)
def test_a_varint(number, written):
    assert writing.varint(number) == written
