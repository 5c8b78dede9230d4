"""The bytes of a recording: whole, cut off anywhere, or damaged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.traffic.recordings.exchange import (
    BlockHead,
    Exchange,
    SegmentHead,
    data_of,
    decode_block,
    decode_head,
    encode_block,
    encode_head,
    frames,
)

HEAD = encode_head(SegmentHead("churn", 1.0, 100.0, 60.0, ("email",)))
EXCHANGES = st.builds(
    Exchange,
    st.floats(0, 2e9),
    st.binary(max_size=300),
    st.text(max_size=20),
    query=st.text(max_size=20),
    status=st.integers(100, 599),
    total_s=st.floats(0, 100),
)
BLOCKS = st.lists(st.lists(EXCHANGES, max_size=5), max_size=4)


def read_from(data: bytes):
    return lambda length, at: data[at : at + length]


def read(data: bytes) -> list[list[Exchange]]:
    """Return what can be read: of all blocks up to the first that cannot."""
    read, found = read_from(data), []
    for frame in list(frames(read, len(data)))[1:]:
        try:
            found.append(decode_block(decode_head(frame.head, BlockHead), data_of(read, frame)))
        except ValueError:
            break
    return found


def written(blocks: list[list[Exchange]]) -> tuple[list[list[Exchange]], bytes]:
    ordered = [sorted(block, key=lambda one: one.at) for block in blocks]
    return ordered, HEAD + b"".join(encode_block(block, {}, 5.0) for block in blocks)


@given(BLOCKS)
def test_what_was_written_is_read(blocks):
    ordered, data = written(blocks)
    assert read(data) == ordered
    assert decode_head(next(frames(read_from(data), len(data))).head, SegmentHead).redact == ("email",)


@given(BLOCKS, st.data())
def test_of_a_torn_file_the_whole_blocks_are_read(blocks, data):
    ordered, whole = written(blocks)
    cut = data.draw(st.integers(0, len(whole)))
    found = read(whole[:cut])
    assert found == ordered[: len(found)]
    assert len(written(ordered[: len(found) + 1])[1]) > cut or len(found) == len(ordered)


@given(BLOCKS.filter(any), st.data())
def test_a_damaged_byte_is_never_read_as_something_else(blocks, data):
    ordered, whole = written(blocks)
    at = data.draw(st.integers(0, len(whole) - 1))
    found = read(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    assert found == ordered[: len(found)]
    assert len(found) < len(ordered) or at < len(HEAD)


def test_what_was_lost_stands_in_a_block_of_its_own():
    data = HEAD + encode_block([], {"busy": 3}, 5.0)
    *_, frame = frames(read_from(data), len(data))
    assert decode_head(frame.head, BlockHead) == BlockHead(0, 5.0, 5.0, 0, {"busy": 3})


def test_bodies_that_repeat_are_packed():
    exchanges = [Exchange(float(at), b'{"input": [{"country": "DE", "age": 42}]}') for at in range(200)]
    assert len(encode_block(exchanges, {}, 0.0)) < sum(len(one.body) for one in exchanges) / 3
