"""Messages between gateways, however the bytes arrive."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.channel import (
    Accepting,
    Ask,
    Channel,
    Records,
    Report,
    Start,
    Told,
    Wake,
    decode_start,
    encode,
    encode_start,
)
from prism_core.settings import ModelSettings, Settings
from prism_core.specs import CallRecord

RECORD = CallRecord("m", 1, 200, "ok", 1, 2, 0.001, 0.002, 0.003, "miss")
REPORTS = [Accepting(), Records([RECORD] * 3), Told(4, [("m", 1, 2)]), Wake("m", 1), Records([])]


class Wire:
    """What a channel needs of a transport."""

    def __init__(self):
        self.written, self.aborted, self.closing = b"", False, False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closing

    def abort(self):
        self.aborted = self.closing = True


def channel():
    heard, wire = [], Wire()
    made: Channel[Report] = Channel(msgspec.msgpack.Decoder(Report), heard.append)
    made.connection_made(wire)
    return made, wire, heard


@given(st.lists(st.sampled_from(REPORTS), max_size=6), st.lists(st.integers(1, 40), max_size=40))
def test_messages_are_heard_in_order_whatever_the_pieces(reports, sizes):
    made, _, heard = channel()
    data = b"".join(map(encode, reports))
    for size in [*sizes, len(data)]:
        made.data_received(data[:size])
        data = data[size:]

    assert heard == reports


def test_a_message_that_cannot_be_read_ends_the_channel():
    made, wire, heard = channel()
    made.data_received(encode(Wake("m", 1)) + b"\x01\x00\x00\x00\xc1" + encode(Wake("m", 2)))

    assert heard == [Wake("m", 1)]
    assert wire.aborted


def test_what_is_sent_is_what_the_other_end_reads():
    made, wire, _ = channel()
    made.send(Ask(7, quiet=True))

    assert msgspec.msgpack.decode(wire.written[4:], type=Ask) == Ask(7, True)


def test_nothing_is_sent_once_the_other_end_is_gone():
    made, wire, _ = channel()
    wire.closing = True
    made.send(Ask(7))
    made.connection_lost(None)

    assert wire.written == b""
    assert made.lost.is_set()


def test_a_follower_gets_the_leaders_settings():
    settings = Settings(
        data_dir=Path("/data"),
        gateways=3,
        load=("sklearn",),
        models={"churn": ModelSettings("churn.pkl", options={"threads": 1})},
        plugins={"lan": {"host": "example.org"}},
    )
    start = Start(settings, "/run/gateway.sock", True)

    assert decode_start(encode_start(start)) == start
