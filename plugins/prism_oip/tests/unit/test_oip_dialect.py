"""What heads of predictions say, and what answers look like."""

from __future__ import annotations

import re

import pytest

from prism_core.plugin import MalformedBody, ModelFailed, UnsupportedInput
from prism_oip.media import ENCODINGS, PREFIX, REST
from prism_oip.rest.dialect import DIALECT, ROUTES, read, write
from prism_oip.rest.packing import answer_of


@pytest.mark.parametrize(
    ("path", "model", "version"),
    [
        ("/v2/models/churn/infer", "churn", None),
        ("/v2/models/churn/versions/3/infer", "churn", "3"),
        ("/v2/models/churn/versions/champion/infer", "churn", "champion"),
        ("/v2/models/churn@champion/infer", "churn@champion", None),
        ("/v2/models/a.b-c_D/infer", "a.b-c_D", None),
        ("/v2/models/versions/infer", "versions", None),
    ],
)
def test_routes(path, model, version):
    found = re.fullmatch(ROUTES, path)

    assert found is not None
    assert (found["model"], found["version"]) == (model, version)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models//infer",
        "/v2/models/churn/infer/",
        "/v2/models/churn/versions//infer",
        "/v2/models/churn@champion/versions/3/infer",
        "/v2/models/../infer",
        "/v2/models/churn@/infer",
        "/v2/models/churn/ready",
        "/x/v2/models/churn/infer",
        "/v2/models/churn/infer\n",
    ],
)
def test_no_route(path):
    assert re.fullmatch(ROUTES, path) is None


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ({}, REST),
        ({"content-type": "application/json"}, REST),
        ({"content-type": "application/octet-stream"}, REST),
        ({"content-type": "application/x-www-form-urlencoded"}, REST),
        ({"inference-header-content-length": "0", "content-length": "8"}, f"{REST};header=0"),
        ({"inference-header-content-length": "12", "content-length": "12"}, f"{REST};header=12"),
        ({"inference-header-content-length": " 012\t", "content-length": "20"}, f"{REST};header=12"),
        ({"inference-header-content-length": "12"}, f"{REST};header=12"),
        ({"content-encoding": "gzip"}, f"{REST};encoding=gzip"),
        ({"content-encoding": " X-GZip "}, f"{REST};encoding=gzip"),
        ({"content-encoding": "deflate"}, f"{REST};encoding=deflate"),
        ({"content-encoding": "identity"}, REST),
        ({"content-encoding": ""}, REST),
        ({"accept-encoding": "gzip, deflate, br"}, f"{REST};answer=gzip"),
        (
            {
                "content-encoding": "gzip",
                "content-length": "9",
                "inference-header-content-length": "70",
                "accept-encoding": "deflate",
            },
            f"{REST};header=70;encoding=gzip;answer=deflate",
        ),
    ],
)
def test_what_a_head_says(headers, media_type):
    assert read(headers) == media_type


@pytest.mark.parametrize(
    "written",
    ["", "-1", "+1", "1.0", "1e3", "0x10", "NaN", "1_0", "\u0663", "\xb2", "1 2", "9" * 19, "9" * 5000],
)
def test_a_length_that_is_no_number_is_malformed(written):
    with pytest.raises(MalformedBody, match="not a number of bytes"):
        read({"inference-header-content-length": written, "content-length": "100"})


def test_a_length_beyond_the_body_is_malformed():
    with pytest.raises(MalformedBody, match="is 13, the whole body has 12 bytes"):
        read({"inference-header-content-length": "13", "content-length": "12"})


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, deflate", "gzip;q=1", "compress"])
def test_other_packings_are_not_read(encoding):
    with pytest.raises(UnsupportedInput, match="are not read"):
        read({"content-encoding": encoding})


def test_what_is_read_is_what_the_core_lets_through():
    assert {"gzip", "x-gzip", "deflate"} == DIALECT.encodings


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("x-gzip", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0.8,deflate;q=0.5", "gzip"),
        ("GZIP ; Q=1", "gzip"),
        ("br, zstd", ""),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=0, deflate;q=0, *;q=1", ""),
        ("identity", ""),
        ("identity;q=1, gzip;q=0.5", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("gzip;q=2", ""),
        ("gzip;q=nan", ""),
        ("gzip;q=0.0001", ""),
        ("gzip;q=", ""),
        ("gzip;level=9", ""),
        (",,;,", ""),
        ("gzip;q=1.000", "gzip"),
    ],
)
def test_how_an_answer_may_be_packed(header, answer):
    assert answer_of(header) == answer


def _lines(lines: bytes) -> dict[str, str]:
    assert lines.endswith(b"\r\n")
    return dict(line.split(": ", 1) for line in lines.decode("ascii")[:-2].split("\r\n"))


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_answer_of_json(kind, encoding):
    lines, body = write(kind(PREFIX.pack(0, ENCODINGS.index(encoding)) + b'{"outputs":[]}'))

    packed = {"content-encoding": encoding} if encoding else {}
    assert _lines(lines) == {"content-type": "application/json", "vary": "accept-encoding", **packed}
    assert bytes(body) == b'{"outputs":[]}'


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_answer_with_tensors(encoding):
    lines, body = write(PREFIX.pack(14, ENCODINGS.index(encoding)) + b'{"outputs":[]}\x00\x01')

    packed = {"content-encoding": encoding} if encoding else {}
    assert _lines(lines) == {
        "content-type": "application/octet-stream",
        "vary": "accept-encoding",
        "inference-header-content-length": "14",
        **packed,
    }
    assert bytes(body) == b'{"outputs":[]}\x00\x01'


def test_nothing_large_is_copied():
    answer = memoryview(bytearray(PREFIX.pack(0, 0) + bytes(1_000_000)))

    _, body = write(answer)
    answer[-1] = 7

    assert body[-1] == 7


@pytest.mark.parametrize("answer", [b"", b"\x00" * 7, PREFIX.pack(0, 3) + b"{}", PREFIX.pack(9, 2**32 - 1)])
def test_what_has_no_prefix_is_a_failure_of_the_model(answer):
    with pytest.raises(ModelFailed, match="not one of this protocol"):
        write(answer)
