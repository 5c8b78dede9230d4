"""Frames: any split of any sequence comes out whole, and a hostile peer is told so."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core import wire

texts = st.text(max_size=20)
ids = st.integers(0, 2**63)
counts = st.integers(0, 2**40)
times_ms = st.floats(0, 1e9)
details = st.dictionaries(texts, st.none() | st.integers(-(2**63), 2**63) | texts, max_size=3)

frames = st.one_of(
    st.builds(wire.Hello, st.integers(0, 9), texts),
    st.builds(wire.Ready, ids, details, st.lists(texts, max_size=3), times_ms, texts),
    st.builds(wire.Call, ids, texts, texts, times_ms, texts, texts),
    st.builds(
        wire.Combine,
        ids,
        texts,
        texts,
        times_ms,
        texts,
        texts,
        texts,
        st.binary(max_size=20),
        st.lists(ids, max_size=3),
        st.lists(counts, max_size=3),
    ),
    st.builds(wire.Cancel, ids),
    st.builds(wire.Reply, ids, texts, counts, counts, counts, counts),
    st.builds(wire.Error, ids, texts, texts, texts, details),
    st.builds(wire.Ping, ids),
    st.builds(wire.Stats, ids, counts, counts, counts, counts),
    st.builds(wire.Drain),
)
messages = st.lists(st.tuples(frames, st.binary(max_size=50)), max_size=5)


def stream(sent):
    return b"".join(wire.encode(frame, len(body)) + body for frame, body in sent)


def pieces(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def receive(parts, receiver=None):
    receiver = receiver or wire.Receiver()
    return [(frame, bytes(body)) for part in parts for frame, body in receiver.feed(part)]


@given(messages, st.lists(st.integers(0, 10_000), max_size=10))
def test_any_split_of_any_sequence_of_frames_arrives(sent, cuts):
    assert receive(pieces(stream(sent), cuts)) == sent


@given(messages)
def test_frames_arrive_byte_by_byte(sent):
    data = stream(sent)

    assert receive(data[i : i + 1] for i in range(len(data))) == sent


def test_a_body_stays_valid_when_more_has_arrived():
    receiver = wire.Receiver()
    first = stream([(wire.Ping(1), b"first")])
    ((_, body),) = receiver.feed(first)
    list(receiver.feed(stream([(wire.Ping(2), b"other")])))

    assert bytes(body) == b"first"


def test_a_large_body_arrives_in_many_pieces():
    body = bytes(range(256)) * 4096
    data = stream([(wire.Call(7), body), (wire.Drain(), b"")])

    assert receive(data[i : i + 65_536] for i in range(0, len(data), 65_536)) == [
        (wire.Call(7), body),
        (wire.Drain(), b""),
    ]


@pytest.mark.parametrize(
    ("header_bytes", "body_bytes"),
    [(wire.MAX_HEADER_BYTES + 1, 0), (2**32 - 1, 0), (0, 1001), (4, 2**32 - 1)],
)
def test_a_hostile_length_is_refused_before_anything_is_kept(header_bytes, body_bytes):
    receiver = wire.Receiver(max_body_bytes=1000)

    with pytest.raises(wire.WireError, match="larger than allowed"):
        list(receiver.feed(wire.PREFIX.pack(header_bytes, body_bytes)))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode("ping"),
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode(["ping"]),
        msgspec.msgpack.encode(["ping", "one"]),
        msgspec.msgpack.encode({"kind": "ping", "id": 1}),
        msgspec.msgpack.encode(["ping", 1]) + b"\x00",
        b"\x92\xa5hello\xa1\xff",  # text that is no UTF-8 was a ValueError
        b"\x95\xa5error\x01\xa0\xa0\xa0" + b"\x81\xa0" * 2000,  # and nesting without end a RecursionError
    ],
)
def test_a_header_that_cannot_be_read_ends_the_connection(header):
    data = wire.PREFIX.pack(len(header), 0) + header

    with pytest.raises(wire.WireError, match="cannot be read"):
        receive([data])


def test_an_unknown_kind_is_an_error():
    header = msgspec.msgpack.encode(["teleport", 1])

    with pytest.raises(wire.WireError, match="teleport"):
        receive([wire.PREFIX.pack(len(header), 0) + header])


def test_fields_of_a_newer_peer_are_ignored():
    header = msgspec.msgpack.encode(["cancel", 5, "new", {"and": "more"}])

    assert receive([wire.PREFIX.pack(len(header), 0) + header]) == [(wire.Cancel(5), b"")]


def test_fields_that_an_older_peer_leaves_out_have_their_default():
    header = msgspec.msgpack.encode(["reply", 5, "text/csv"])

    assert receive([wire.PREFIX.pack(len(header), 0) + header]) == [(wire.Reply(5, "text/csv"), b"")]


@given(st.binary(max_size=200))
def test_noise_is_frames_or_a_wire_error(data):
    try:
        receive([data])
    except wire.WireError:
        pass  # anything else would be a fault


@given(frames)
def test_a_frame_never_begins_like_an_http_method(frame):
    """That is how one socket speaks both: the fourth byte is zero, in a method it is a letter."""
    assert wire.encode(frame)[3] == 0
