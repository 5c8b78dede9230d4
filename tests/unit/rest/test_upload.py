"""Uploads: streamed in, told step by step, and gone without a trace when they end early."""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import pairwise
from urllib.parse import quote

import pytest

from prism_core.errors import UnsafeArtifact

SPEC = quote(json.dumps({"filename": "churn_model.pkl"}))
QUERY = f"spec={SPEC}"
ROUTE = "/admin/v1/upload"


def lines_of(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def left_behind(gateway) -> list:
    return list(gateway.store.directory.iterdir())


async def test_an_upload_tells_its_steps_and_then_the_version(admin, gateway):
    answer = await admin.post(f"{ROUTE}?{QUERY}", content=b"bytes")

    first, last = lines_of(answer.content)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert first == {"event": "step", "step": "store", "size_bytes": 5}
    assert (last["event"], last["version"]["model"], last["version"]["version"]) == ("done", "churn", 1)


async def test_what_was_sent_is_what_is_stored(wire, gateway):
    """In whatever pieces it came."""
    request = wire("POST", ROUTE, QUERY)
    for piece in (b"by", b"", b"t"):
        request.body(piece)
    request.body(b"es", more=False)
    await request.until(b'"done"')
    await request.task

    sha256 = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
    assert gateway.calls == [("upload", "churn", f"sha256:{sha256}")]


async def test_all_of_the_request_reaches_the_gateway(admin, gateway):
    spec = {
        "name": "risk",
        "filename": "x.onnx",
        "loader": "onnx",
        "alias": "champion",
        "options": {"threads": 2},
        "trust": ["a.b"],
        "batching": {"max_batch_rows": 8},
        "example": base64.b64encode(b"{}").decode(),
        "not-known-yet": 1,
    }
    answer = await admin.post(ROUTE, params={"spec": json.dumps(spec)}, content=b"x")

    assert lines_of(answer.content)[-1]["event"] == "done"
    assert gateway.calls[0][:2] == ("upload", "risk")
    assert gateway.said == spec.keys()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "spec"),
        ("{", "spec"),
        ("[]", "spec"),
        ('{"filename": 3}', "filename"),
        ('{"filename": "a.pkl", "replicas": "two"}', "replicas"),
        ("{}", "name"),
        ('{"name": "../etc"}', "../etc"),
    ],
)
async def test_a_wrong_request_is_refused_before_its_bytes_come(wire, gateway, spec, said):
    request = wire("POST", ROUTE, f"spec={quote(spec)}" if spec else "")
    await request.task

    document = json.loads(request.content)
    assert (request.status, document["code"]) == (400, "invalid_parameter")
    assert said in document["detail"]
    assert left_behind(gateway) == []


@pytest.mark.parametrize("pieces", [[12], [1], [40], [5, 30], [1000]])
async def test_a_request_too_long_for_a_url_stands_before_the_bytes(wire, gateway, pieces):
    """However the two are cut into messages."""
    spec = json.dumps({"filename": "churn_model.pkl", "example": "e" * 20}).encode()
    whole, cut = spec + b"bytes", [0, *pieces]
    request = wire("POST", ROUTE, f"spec_bytes={len(spec)}")
    for start, stop in pairwise(cut):
        request.body(whole[start:stop])
    request.body(whole[cut[-1] :], more=False)
    await request.task

    assert lines_of(request.content)[0] == {"event": "step", "step": "store", "size_bytes": 5}


@pytest.mark.parametrize(("spec_bytes", "status"), [(-1, 400), (1 << 30, 413), (3, 400)])
async def test_a_wrong_length_of_the_request(wire, gateway, spec_bytes, status):
    request = wire("POST", ROUTE, f"spec_bytes={spec_bytes}")
    request.body(b'{"filename": "a.pkl"}', more=False)
    await request.task

    assert request.status == status
    assert left_behind(gateway) == []


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"content_encoding": "gzip"}, b"Content-Encoding"),
        ({"content_type": "multipart/form-data; boundary=x"}, b"not a form"),
    ],
)
async def test_bytes_that_are_not_the_artifact_are_refused(wire, gateway, head, words):
    request = wire("POST", ROUTE, QUERY, **head)
    await request.task

    assert (request.status, gateway.calls) == (415, [])
    assert words in request.content


@pytest.mark.parametrize("spec", [b'{"filename": "\xff"}', b'{"options": {"a": %b}}' % (b"[" * 5000)])
async def test_a_request_that_cannot_be_read_is_the_callers_fault(wire, spec):
    """Both were a 500."""
    request = wire("POST", ROUTE, f"spec_bytes={len(spec)}")
    request.body(spec, more=False)
    await request.task

    assert request.status == 400


async def test_an_artifact_said_to_be_too_large_is_refused_before_its_bytes_come(wire, gateway):
    request = wire("POST", ROUTE, QUERY, content_length="1001")
    await request.task

    assert (request.status, json.loads(request.content)["code"]) == (413, "artifact_too_large")
    assert left_behind(gateway) == []


async def test_an_artifact_that_turns_out_too_large_is_refused_on_the_way(wire, gateway):
    request = wire("POST", ROUTE, QUERY)
    request.body(b"x" * 600)
    request.body(b"x" * 600)
    await request.task

    assert (request.status, json.loads(request.content)["code"]) == (413, "artifact_too_large")
    assert left_behind(gateway) == []


async def test_an_upload_cut_in_the_middle_leaves_nothing(wire, gateway):
    request = wire("POST", ROUTE, QUERY)
    request.body(b"half of i")
    request.hang_up()
    await request.task

    assert request.sent == []
    assert gateway.calls == []
    assert left_behind(gateway) == []


async def test_a_client_that_leaves_during_the_steps_ends_them(wire, gateway):
    gateway.hold = asyncio.Event()
    request = wire("POST", ROUTE, QUERY)
    request.body(b"bytes", more=False)
    await gateway.uploading.wait()

    request.hang_up()
    await request.task

    assert gateway.calls == []
    assert left_behind(gateway) == []


async def test_a_server_that_stops_ends_the_steps(wire, gateway):
    gateway.hold = asyncio.Event()
    request = wire("POST", ROUTE, QUERY)
    request.body(b"bytes", more=False)
    await gateway.uploading.wait()

    request.task.cancel()
    await asyncio.wait({request.task})

    assert request.task.cancelled()
    assert gateway.calls == []
    assert left_behind(gateway) == []


async def test_steps_are_told_while_they_are_taken(wire, gateway):
    gateway.hold = asyncio.Event()
    request = wire("POST", ROUTE, QUERY)
    request.body(b"bytes", more=False)
    await request.until(b'"store"')
    assert b'"done"' not in request.content

    gateway.hold.set()
    await request.task

    assert b'"done"' in request.content


async def test_an_artifact_that_is_refused_ends_the_stream_with_the_reason(admin, gateway):
    gateway.fails = UnsafeArtifact(
        "It calls os.system.", hint="Trust it by name.", details={"names": ["os.system"]}
    )

    last = lines_of((await admin.post(f"{ROUTE}?{QUERY}", content=b"x")).content)[-1]

    assert last["event"] == "error"
    assert (last["error"]["code"], last["error"]["status"]) == ("unsafe_artifact", 422)
    assert last["error"]["details"] == {"names": ["os.system"]}


async def test_a_fault_of_ours_during_an_upload_tells_only_its_number(admin, gateway):
    gateway.fails = RuntimeError("secret-error at /home/secret")

    answer = await admin.post(f"{ROUTE}?{QUERY}", content=b"x")

    assert "secret" not in answer.text
    assert lines_of(answer.content)[-1]["error"]["error_id"]
