"""What the gateway looks at of a serialized request, beside what protobuf says."""

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from prism_core.plugin import MalformedBody
from prism_oip.rpc.oip_pb2 import ModelInferRequest
from prism_oip.rpc.scan import MAX_FIELDS, MAX_NAME_BYTES, scan

# A field of each wire type that no request has, and one whose tag takes five bytes.
UNKNOWN = [b"\x78\x01", b"\x79" + bytes(8), b"\x7a\x03abc", b"\x7d" + bytes(4), b"\xfa\xff\xff\xff\x0f\x01x"]
names = st.text(max_size=40)


@st.composite
def messages(draw):
    """Requests in pieces that were serialized one by one: fields come in any order, and twice."""
    pieces = []
    for _ in range(draw(st.integers(0, 6))):
        message = ModelInferRequest(
            model_name=draw(names), model_version=draw(names), id=draw(st.text(max_size=300))
        )
        if draw(st.booleans()):
            message.inputs.add(name=draw(names), datatype="FP32", shape=[1, 2])
            message.outputs.add(name=draw(names))
            message.raw_input_contents.append(draw(st.binary(max_size=300)))
            message.parameters[draw(names)].int64_param = draw(st.integers(-(2**63), 2**63 - 1))
        pieces.append(message.SerializeToString())
        pieces.append(draw(st.sampled_from([b"", *UNKNOWN])))
    return b"".join(pieces)


def as_protobuf_says(message):
    parsed = ModelInferRequest.FromString(message)
    return parsed.model_name, parsed.model_version, parsed.id


@given(messages())
def test_a_request_is_for_whom_protobuf_says(message):
    assert scan(message) == as_protobuf_says(message)


@given(messages(), st.data())
def test_damaged_bytes_are_refused_or_mean_what_protobuf_says(message, data):
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        found = scan(bytes(damaged))
    except MalformedBody:
        return
    try:
        meant = as_protobuf_says(bytes(damaged))
    except DecodeError:
        return  # of what is not looked at, the runtime says what is wrong
    assert found == meant


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_else(message):
    with contextlib.suppress(MalformedBody):
        assert all(isinstance(one, str) for one in scan(message))


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a",  # a tag alone
        b"\x0a\x05abc",  # shorter than it says
        b"\x0a\xff\xff\xff\xff\x07",  # by two gigabytes
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # or more than there are
        b"\x3a\x80\x80\x80\x80\x80\x80\x00",  # a length of more bytes than one takes
        b"\x80\x80\x80\x80\x80\x80\x01\x00",  # a tag of as many
        b"\x78" + b"\xff" * 11,  # a number without an end
        b"\x02\x00",  # field 0
        b"\x08\x01",  # model_name, a number
        b"\x2d" + bytes(4),  # inputs, four bytes
        b"\x0b\x0c",  # a group
        b"\x7b\x7c",  # one that nobody knows
        b"\x0a\x02\xff\xfe",  # no UTF-8
        b"\x1a\x03\xed\xa0\x80",  # half a character
        b"\x0a\x80\x04" + b"a" * 512 + b"\x0a\x81\x04" + b"a" * 513,  # a name that nothing has
        b"\x32\x00" * MAX_FIELDS + b"\x0a\x00",
    ],
)
def test_what_is_no_request_is_refused(message):
    with pytest.raises(MalformedBody):
        scan(message)


def test_as_many_fields_as_are_taken_are_taken():
    assert scan(b"\x32\x00" * (MAX_FIELDS - 1) + b"\x0a\x01a") == ("a", "", "")
    assert scan(b"\x0a\x80\x04" + b"a" * MAX_NAME_BYTES) == ("a" * MAX_NAME_BYTES, "", "")


def test_tensors_are_not_looked_at():
    """Whatever stands in `raw_input_contents` and in `inputs`; only their lengths count."""
    assert scan(b"\x0a\x01m" + b"\x3a\x90\x4e" + b"\xff" * 10_000 + b"\x2a\x01\xff") == ("m", "", "")
