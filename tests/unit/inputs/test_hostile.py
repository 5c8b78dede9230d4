"""Bodies that were made to do harm: each is answered with what is wrong, soon, and before memory is taken.

The first of each kind was found by fuzzing, or by looking for it; the comment says what it did.
"""

import base64
import io
import json
import struct
import zlib

import msgspec
import numpy as np
import pytest
from PIL import Image

from prism_core.fitting.tensors import Header, Tensor, pack
from prism_core.inputs import prism_normalizers
from prism_core.plugin import (
    Batch,
    InvalidInput,
    Limits,
    MalformedBody,
    PayloadTooLarge,
    Request,
    Signature,
    TensorSpec,
)
from prism_core.testing.fuzzing import deadline
from prism_core.testing.normalizers import in_steps

NORMALIZERS = {one.media_type: one for one in prism_normalizers()}
JSON, CSV, NPY, RAW, TENSORS = (
    "application/json",
    "text/csv",
    "application/x-npy",
    "application/octet-stream",
    "application/vnd.prism.tensors",
)


def one(datatype, *shape):
    return Signature((TensorSpec("x", datatype, shape or (-1,)),), (TensorSpec("y", "FP64", (-1,)),))


COLUMNS = tuple(TensorSpec(f"column{at:03}", "FP64", (-1,)) for at in range(100))
WIDE = Signature(COLUMNS, (TensorSpec("y", "FP64", (-1,)),), columnar=True)
MATRIX, FLOATS, INTEGERS, TEXTS = one("FP64", -1, 4), one("FP64"), one("INT64"), one("BYTES")
PICTURES, SMALL_PICTURES = one("UINT8", -1, 3, -1, -1), one("FP32", -1, 3, 224, 224)


def npy(descr, shape, data=b""):
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def tensors(*entries, data=b""):
    head = msgspec.msgpack.encode(Header(list(entries)))
    body = struct.pack("<4sI", b"PRT1", len(head)) + head
    return body + bytes(-len(body) % 64) + data


def png(width, height):
    """Return a picture of zeros, a thousand times smaller than its pixels."""
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def png_head(width, height):
    """Return a picture that claims a size and holds nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return start + struct.pack(">I", 0) + b"IDAT"


def png_with(kind, data, times=1):
    """Return a good picture with further chunks behind its head."""
    good = png(4, 4)
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return good[:33] + chunk * times + good[33:]


def gif_frame(width, height):
    """Return a picture whose one frame claims to be larger than itself."""
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "GIF")
    data = bytearray(file.getvalue())
    at = data.index(b"\x2c") + 5
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def webp_canvas(side):
    """Return the head of a moving picture that claims a size."""
    sizes = (side - 1).to_bytes(3, "little") * 2
    parts = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + sizes
    parts += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "WEBP")
    frame = bytes(16) + file.getvalue()[12:]
    parts += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(parts) + 4) + b"WEBP" + parts


def in_json(*pictures):
    return json.dumps({"input": [{"b64": base64.b64encode(one).decode()} for one in pictures]}).encode()


def nested(depth, inside=b""):
    return b"[" * depth + inside + b"]" * depth


# What, media type, signature, body, the error, words of it.
# Texts of ten and one megabytes, as a picture's metadata has them.
BOMB, PART = (b"k\0\0" + zlib.compress(bytes(size), 9) for size in (10_000_000, 1_000_000))
# fmt: off
REFUSED = [
    # `[0-9]+\.?[0-9]*` tried all ways to divide the digits: a minute for 100 KB.
    ("digits and an x", CSV, FLOATS, b"x\n" + b"1" * 100_000 + b"x\n", InvalidInput, "FP64"),
    # OverflowError, and so a 500.
    ("400 digits", CSV, INTEGERS, b"x\n" + b"9" * 400 + b"\n", InvalidInput, "out of range"),
    ("400 digits", JSON, INTEGERS, b'{"input": [%b]}' % (b"9" * 400), InvalidInput, "of range"),
    ("a million digits", JSON, INTEGERS, b"[%b]" % (b"9" * 1_000_000), InvalidInput, "no double"),
    # ValueError of a message that could not be written, and so a 500.
    ("4000 digits", NPY, FLOATS, npy("<f8", f"({'9' * 4000}, {'9' * 4000})"), MalformedBody, "bits"),
    ("1000 sizes", TENSORS, FLOATS, tensors(Tensor("x", "FP64", [2**63] * 1000, 8), data=bytes(8)),
     MalformedBody, "bits"),
    ("sizes without end", RAW, FLOATS, bytes(8), MalformedBody, "bits"),
    ("4000 axes", NPY, FLOATS, npy("<f8", f"({'1,' * 4000})", bytes(8)), MalformedBody, "No array has"),
    # Claims of what is not there.
    ("a terabyte", NPY, FLOATS, npy("<f8", (10**12,)), MalformedBody, "the body has 0"),
    ("none of very many", NPY, FLOATS, npy("<f8", (0, 10**18, 10**18)), MalformedBody, "No array has"),
    ("a negative size", NPY, FLOATS, npy("<f8", (-1, 4), bytes(32)), MalformedBody, "shape"),
    ("brackets", NPY, FLOATS, npy("<f8", "(" * 4000), MalformedBody, "header"),
    ("a pickle", NPY, FLOATS, npy("|O", (1,), bytes(8)), MalformedBody, "pickles"),
    ("a terabyte", TENSORS, FLOATS, tensors(Tensor("x", "FP64", [10**12], 8 * 10**12)), MalformedBody, "end"),
    ("texts", TENSORS, TEXTS, tensors(Tensor("x", "BYTES", [2**40], 4), data=bytes(4)), MalformedBody, "few"),
    ("its header", TENSORS, FLOATS, struct.pack("<4sI", b"PRT1", 2**31), MalformedBody, "at most"),
    # For each of a million unknown names the closest known one was looked for: six seconds.
    ("columns", CSV, WIDE, ",".join(f"column{at}" for at in range(500_000)).encode(), InvalidInput, "10000"),
    ("keys", JSON, WIDE, json.dumps([dict.fromkeys(range(200_000))]).encode(), InvalidInput, "10000"),
    ("a long cell", CSV, TEXTS, b'x\n"' + b"x" * 200_000 + b'"', MalformedBody, "131072"),
    # Two million integers between doubles were looked at one by one: nine seconds for 64 MB.
    ("odd integers", NPY, FLOATS, npy("<i8", (2_000_000,), (2**60 + 1 + 2 * np.arange(2_000_000)).tobytes()),
     InvalidInput, "FP64"),
    ("deep lists", JSON, MATRIX, nested(100_000), MalformedBody, "100 levels"),
    ("lists as deep as Python goes", JSON, MATRIX, nested(900), MalformedBody, "100 levels"),
    ("a lone surrogate", JSON, TEXTS, b'["\\ud800"]', MalformedBody, "not JSON"),
    ("a mark of byte order", JSON, FLOATS, b"\xef\xbb\xbf[1]", MalformedBody, "not JSON"),
    ("NaN", JSON, FLOATS, b"[NaN]", MalformedBody, "send null|not JSON"),
    ("a picture without end", "image/png", PICTURES, png_head(60_000, 60_000), PayloadTooLarge, "pixels"),
    ("a frame without end", "image/gif", PICTURES, gif_frame(65_535, 65_535), PayloadTooLarge, "pixels"),
    ("a canvas without end", "image/webp", PICTURES, webp_canvas(16_383), PayloadTooLarge, "pixels"),
    ("a text without end", "image/png", PICTURES, png_with(b"zTXt", BOMB), MalformedBody, "whole PNG"),
    ("texts without end", "image/png", PICTURES, png_with(b"zTXt", PART, 200), MalformedBody, "whole"),
    ("colours without end", "image/png", PICTURES, png_with(b"iCCP", BOMB), MalformedBody, "whole PNG"),
    ("half a picture", "image/png", PICTURES, png(40, 40)[:-30], MalformedBody, "whole PNG"),
]
# fmt: on
PARAMETERS = {"sizes without end": {"shape": ",".join(["9" * 18] * 32)}}


@pytest.mark.parametrize(
    ("what", "media_type", "signature", "body", "error", "words"),
    REFUSED,
    ids=[f"{what} as {media_type}" for what, media_type, *_ in REFUSED],
)
def test_it_is_refused(what, media_type, signature, body, error, words):
    request = Request(PARAMETERS.get(what, {}), {})
    with deadline(), pytest.raises(error, match=words) as caught:
        NORMALIZERS[media_type].normalize(memoryview(body), signature, request)

    assert len(caught.value.message) < 500


LETTERS = np.full(101, "a").tobytes()
# What holds too much for a server with these limits.
SMALL = Limits(max_values=100, max_pixels=100, max_depth=5)


@pytest.mark.parametrize(
    ("media_type", "signature", "fits", "too_much"),
    [
        (JSON, FLOATS, b"[%b]" % b",".join([b"1"] * 100), b"[%b]" % b",".join([b"1"] * 101)),
        (JSON, MATRIX, b"[[1,2,3,4]%b]" % (b",[1,2,3,4]" * 24), b"[[1,2,3,4]%b]" % (b",[1,2,3,4]" * 25)),
        (JSON, TEXTS, b'["%b"]' % (b'a,\\"\\\\' * 200), b"[%b]" % b",".join([b'"a"'] * 101)),
        (CSV, FLOATS, b"1\n" * 99, b"1\n" * 101),
        (CSV, MATRIX, b"1,2,3,4\r\n" * 24, b"1,2,3,4\r\n" * 26),
        (CSV, TEXTS, b'x\n"%b"\n' % (b'a,""\n' * 50), b"x\n" + b'"a"\n' * 101),
        ("text/plain", TEXTS, b"a\n" * 100, b"a\n" * 101),
        (NPY, TEXTS, npy("<U1", (100,), LETTERS[:400]), npy("<U1", (101,), LETTERS)),
        (TENSORS, TEXTS, pack(Batch({"x": np.full(100, "a")})), pack(Batch({"x": np.full(101, "a")}))),
        ("image/png", PICTURES, png(10, 10), png(10, 11)),
        ("image/png", SMALL_PICTURES, None, png(1, 1)),
        # A megabyte of JSON became nine gigabytes of zeros; two of tiny pictures, scaled up, eleven.
        (JSON, PICTURES, in_json(png(5, 10), png(5, 10)), in_json(png(5, 10), png(5, 11))),
        (JSON, SMALL_PICTURES, None, in_json(png(1, 1))),
    ],
)
@pytest.mark.parametrize("way", ["whole", "steps"])
def test_a_server_takes_so_much(media_type, signature, fits, too_much, way):
    reader = NORMALIZERS[media_type]
    request = Request({"lines": "true"}, {}, SMALL)

    def read(body):
        if way == "steps" and reader.normalize_steps:
            found = in_steps(reader.normalize_steps(memoryview(body), signature, request))
            if found is not None:
                return found
        return reader.normalize(memoryview(body), signature, request)

    assert fits is None or read(fits).rows
    with pytest.raises(PayloadTooLarge, match="100") as caught:
        read(too_much)
    assert "limits.max_" in caught.value.hint


def test_numbers_of_arrays_are_not_counted():
    body = npy("<f8", (1000,), bytes(8000))

    assert NORMALIZERS[NPY].normalize(memoryview(body), FLOATS, Request({}, {}, SMALL)).rows == 1000


@pytest.mark.parametrize("body", [b"%b", b'{"input": %b}', b'{"input": 1, "parameters": {"a": %b}}'])
def test_json_is_as_deep_as_the_setting(body):
    """What is deep enough to be read has the wrong rank, or an unknown parameter: that is another matter."""
    around = body.count(b"{")
    deepest = body % nested(SMALL.max_depth - around, b"1")
    with pytest.raises(InvalidInput):
        NORMALIZERS[JSON].normalize(memoryview(deepest), TEXTS, Request({}, {}, SMALL))

    too_deep = memoryview(body % nested(6 - around, b"1"))
    with pytest.raises(MalformedBody, match="5 levels"):
        NORMALIZERS[JSON].normalize(too_deep, TEXTS, Request({}, {}, SMALL))
