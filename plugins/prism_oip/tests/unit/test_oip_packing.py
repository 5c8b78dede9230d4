"""Bodies that come packed, and answers that are."""

import gzip
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from prism_core.plugin import (
    Answer,
    Batch,
    Limits,
    MalformedBody,
    PayloadTooLarge,
    Request,
    Signature,
    TakesLong,
    TensorSpec,
)
from prism_oip.media import ENCODINGS, PREFIX
from prism_oip.reading import rest as reading
from prism_oip.reading.packing import STEP_BYTES
from prism_oip.reply import Reply
from prism_oip.writing import rest as writing

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}).encode()


def bare(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


WAYS = {"gzip": ("gzip", gzip.compress), "zlib": ("deflate", zlib.compress), "bare": ("deflate", bare)}


LIMITS = Limits()


def read(body, encoding, limits=LIMITS, waited_for=False, **parameters):
    request = Request({"encoding": encoding, **parameters}, {}, limits, waited_for)
    return reading.normalize(memoryview(body), SIGNATURE, request)


@pytest.mark.parametrize("way", WAYS)
def test_packed_json_is_read(way):
    encoding, pack = WAYS[way]

    assert read(pack(BODY), encoding)["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [n * STEP_BYTES + more for n in (1, 2, 3) for more in (-1, 0, 1)])
def test_a_body_may_end_where_a_step_does(way, size):
    encoding, pack = WAYS[way]

    assert read(pack(BODY.ljust(size)), encoding)["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize("way", WAYS)
def test_the_header_counts_what_is_unpacked(way):
    encoding, pack = WAYS[way]
    said = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [said]}).encode()
    body = pack(head + np.array([1, 2], np.float32).tobytes())

    assert read(body, encoding, header=str(len(head)))["x"].tolist() == [[1, 2]]


BROKEN = {
    "nothing": b"",
    "half a head": b"\x1f",
    "not packed": BODY,
    "gzip, cut short": gzip.compress(BODY)[:-1],
    "gzip, of another sum": gzip.compress(BODY)[:-8] + bytes(8),
    "zlib, cut short": zlib.compress(BODY)[:-1],
    "bare, cut short": bare(BODY)[:-1],
    "a byte behind it": gzip.compress(BODY) + b"x",
    "many bytes behind it": gzip.compress(BODY) + bytes(100_000),
    "twice": gzip.compress(BODY) * 2,
    "no JSON in it": zlib.compress(b"x"),
}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", BROKEN.values(), ids=list(BROKEN))
def test_what_is_not_packed_so_is_refused(encoding, body):
    with pytest.raises(MalformedBody):
        read(body, encoding)


def test_a_way_that_nobody_knows_is_refused():
    with pytest.raises(MalformedBody, match="br"):
        read(BODY, "br")


ZEROS = zlib.compress(bytes(64 << 20), 9)


@pytest.mark.parametrize(
    ("limits", "why"), [(Limits(max_body=1 << 20), "1048576 bytes"), (Limits(max_ratio=10), "10 times")]
)
def test_a_body_that_unpacks_to_too_much_costs_no_memory(limits, why):
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=why):
            read(ZEROS, "deflate", limits)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


ROWS = 100_000
LONG = {"name": "x", "shape": [ROWS, 2], "datatype": "FP32", "data": [1, 2] * ROWS}
LARGE = zlib.compress(json.dumps({"inputs": [LONG]}).encode())


def test_what_turns_out_to_be_large_is_not_waited_for():
    with pytest.raises(TakesLong):
        read(LARGE, "deflate", waited_for=True)


def test_what_is_packed_is_read_in_steps():
    request = Request({"encoding": "deflate"}, {}, waited_for=True)
    steps = 0

    def counted():
        nonlocal steps
        generator = reading.normalize_steps(memoryview(LARGE), SIGNATURE, request)
        while True:
            try:
                next(generator)
            except StopIteration as end:
                return end.value
            steps += 1

    assert counted()["x"].tolist() == [[1, 2]] * ROWS
    assert steps > 5


# --- answers ---------------------------------------------------------------------------------


def answer(values, packing, waited_for=False, raw=False):
    outputs = Batch({"y": np.asarray(values, np.float32)})
    return Answer(
        "churn", 3, outputs, SIGNATURE, reply=Reply("1", raw, packing=packing), waited_for=waited_for
    )


UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}


def unpacked(body):
    header_bytes, packing = PREFIX.unpack_from(body)
    return header_bytes, ENCODINGS[packing], UNPACK[ENCODINGS[packing]](body[PREFIX.size :])


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
@pytest.mark.parametrize("raw", [True, False])
def test_an_answer_is_packed_where_that_is_asked_for(packing, raw):
    values = np.arange(1000)
    plain, packed = (unpacked(writing.encode(answer(values, one, raw=raw))) for one in ("", packing))

    assert packed == (plain[0], packing, plain[2])


@pytest.mark.parametrize("values", [range(10), np.random.default_rng(0).bytes(4000)], ids=["few", "noise"])
def test_an_answer_that_gets_no_shorter_is_not_packed(values):
    noise = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else np.array(values, np.uint8)
    outputs = Batch({"y": noise})
    raw = Answer("churn", 3, outputs, SIGNATURE, reply=Reply(raw=True, packing="gzip"))

    assert unpacked(writing.encode(raw))[1] == ""


def test_a_large_answer_is_not_waited_for():
    with pytest.raises(TakesLong):
        writing.encode(answer(np.arange(30_000), "gzip", waited_for=True))

    assert unpacked(writing.encode(answer(np.arange(30_000), "gzip")))[1] == "gzip"
    assert unpacked(writing.encode(answer(np.arange(30_000), "", waited_for=True)))[1] == ""


def test_an_answer_is_packed_the_same_each_time():
    once, again = (writing.encode(answer(np.arange(1000), "gzip")) for _ in range(2))

    assert once == again
