"""Walking bytes that may be anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_onnx.protobuf import Field, MalformedProtobuf, fields


def test_each_kind_of_field_is_found():
    message = b"\x08\xac\x02" + b"\x12\x02ab" + b"\x1d\x00\x00\x80\x3f" + b"\x21" + bytes(8)

    assert list(fields(message, 0, len(message))) == [
        Field(1, 0, 300, 1, 3),
        Field(2, 2, 0, 5, 7),
        Field(3, 5, 0, 8, 12),
        Field(4, 1, 0, 13, 21),
    ]


@pytest.mark.parametrize(
    "message",
    [b"\x08", b"\x12\x05ab", b"\x00\x00", b"\x0b", b"\xff" * 20, b"\x1d\x00"],
    ids=["no value", "too short", "field 0", "group", "endless number", "half a float"],
)
def test_what_is_not_a_message_is_refused(message):
    with pytest.raises(MalformedProtobuf):
        list(fields(message, 0, len(message)))


@given(st.binary(max_size=200))
def test_any_bytes_are_walked_or_refused(message):
    try:
        spans = list(fields(message, 0, len(message)))
    except MalformedProtobuf:
        return

    assert all(field.stop <= len(message) for field in spans)
    assert [field.stop for field in spans] == sorted(field.stop for field in spans)
