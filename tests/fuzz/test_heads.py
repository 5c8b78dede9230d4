"""Damaged heads of requests, and the requests of uploads."""

import json

import pytest

from prism_core.dialects import Dialects, media_type_of
from prism_core.errors import PrismError
from prism_core.gateway.registry import Registry
from prism_core.gateway.service import PredictService
from prism_core.rest.heads import Heads
from prism_core.rest.predict import PredictFront, Way, head_of
from prism_core.rest.routing import Route, Routes, route_of
from prism_core.rest.upload import upload_request
from prism_core.runtime.heads import body_type, parse, timeout_of
from prism_core.runtime.session import accepted, parse_media_type
from prism_core.testing.fuzzing import fuzz
from prism_oip.rest.dialect import DIALECT

pytestmark = pytest.mark.sweep

HEADS = [
    b"POST /model/churn/predict?outputs=a,b&x=%20 HTTP/1.1\r\nHost: prism\r\nContent-Length: 12\r\n\r\n",
    b"POST /v1/models/churn@champion:predict HTTP/1.1\r\nHost: [::1]:80\r\ncontent-length: 0\r\n"
    b'Content-Type: text/csv; charset="utf-8"\r\nAccept: text/csv;q=0.5, */*\r\nX-Prism-Timeout: 2.5\r\n\r\n',
    b"POST http://prism:8000/model/a/versions/3/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Cache-Control: no-store\r\nX-Scale-Up-Timeout: 1\r\nConnection: keep-alive\r\n\r\n",
    b"POST /s/k3m9x2p7qa/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nAuthorization: Bearer prl_a\r\n"
    b"Origin: https://a\r\nCookie: prism_session=prs_1_0\r\n\r\n",
    b"POST /v2/models/churn/versions/3/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
    b"Inference-Header-Content-Length: 7\r\nContent-Encoding: gzip\r\nAccept-Encoding: deflate;q=0.5\r\n\r\n",
]
TOKENS = [
    b"\r\n",
    b": ",
    b"chunked",
    b"Transfer-Encoding: ",
    b"Content-Length: ",
    b"Expect: 100-continue\r\n",
    b"Content-Encoding: gzip\r\n",
    b"%2e%2e",
    b"@",
    b" HTTP/1.0",
    b"http://",
    b"\t",
]


def test_a_damaged_head_is_plain_or_left_to_the_other_way():
    service = PredictService(Registry(print))
    routes = Routes([DIALECT])
    front = PredictFront(service, None, max_body_bytes=1000, links=Way(service), routes=routes)
    heads = Heads(front, max_headers=100)
    plain = []

    def find(data):
        found, _ = heads.find(data)
        if found is not None:
            plain.append(found)
            assert 0 <= found.asked.length <= 1000
            assert found is heads.find(data)[0]

    fuzz(find, HEADS, cases=5000, allowed=(), tokens=TOKENS)

    assert 100 < len(plain) < 5000


def test_a_path_is_a_reference_or_none():
    paths = [b"/model/churn@champion/predict", b"/model/a/versions/3/predict", b"/v1/models/a:predict"]

    def route(data):
        found = route_of(data.decode("utf-8", "replace"))
        assert found is None or "/" not in found.reference.rpartition("/")[0]

    fuzz(route, paths, cases=2000, allowed=())


def test_what_headers_say_is_taken_or_refused():
    lines = [
        b"content-type: text/csv; a=b",
        b"accept: */*;q=nan",
        b"x-prism-timeout: 1e3",
        b"content-encoding: gzip",
        b"x-scale-up-timeout: 0.1",
        b"cache-control: no-cache",
    ]

    def read(data):
        name, _, value = data.partition(b":")
        asked = head_of(Route("churn"), [(name, value.strip())], value)
        accepted(asked.head.accept)
        assert (
            parse_media_type(asked.head.media_type)[0] == parse_media_type(asked.head.media_type)[0].lower()
        )

    fuzz(read, lines, cases=2500, tokens=TOKENS)


def test_the_request_of_an_upload_is_read_or_refused():
    specs = [
        json.dumps({"filename": "churn_model.pkl", "alias": "champion", "options": {"a": [1]}}).encode(),
        json.dumps(
            {"name": "m", "trust": ["a:b"], "batching": {"max_batch_rows": 8}, "example": "e30="}
        ).encode(),
    ]
    report = fuzz(upload_request, specs, cases=2000, allowed=(PrismError,))

    assert 0 < report.refused < report.cases


def test_a_replica_reads_a_damaged_head_or_refuses_it():
    heads = [head.removesuffix(b"\r\n\r\n") for head in HEADS]
    dialects = Dialects([DIALECT])

    def read(data):
        found = parse(data)
        assert found.length >= 0
        assert found.path.startswith("/")
        spoken = dialects.find(found.path)
        media_type_of(spoken.dialect, found.headers) if spoken else body_type(found)
        assert timeout_of(found, 30.0) > 0

    fuzz(read, heads, cases=5000, allowed=(PrismError,), tokens=TOKENS)
