"""Predictions over REST at a real server, by plain HTTP."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from .conftest import HEADER, asked, error_of, raw, values_of

INFER = "/v2/models/line/infer"
CHAMPION = "/v2/models/line@champion/infer"


def close_to(values):
    return pytest.approx(values, rel=1e-12)


# --- forms ------------------------------------------------------------------------------------------


def test_json_in_and_out(client):
    answer = client.post(INFER, json=asked([[1, 2], [0, 1]], id="42"))

    said = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert {key: said[key] for key in ("model_name", "model_version", "id")} == {
        "model_name": "line",
        "model_version": "2",
        "id": "42",
    }
    assert said["outputs"][0] | {"data": None} == {
        "name": "predictions",
        "datatype": "FP64",
        "shape": [2],
        "data": None,
    }
    assert values_of(answer) == close_to([80, 30])


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/octet-stream", "text/plain;charset=UTF-8", None]
)
def test_the_content_type_does_not_matter(client, content_type):
    headers = {"content-type": content_type} if content_type else {}

    assert values_of(client.post(INFER, content=json.dumps(asked()), headers=headers)) == close_to([80])


@pytest.mark.parametrize("more", [{}, {"parameters": {"binary_data_output": True}}])
def test_tensors_behind_the_json(client, more):
    head, behind = raw([[1, 2], [0, 1]], **more)
    answer = client.post(INFER, content=head + behind, headers={HEADER: str(len(head))})

    assert (answer.headers["content-type"] == "application/octet-stream") is bool(more)
    assert values_of(answer) == close_to([80, 30])


def test_nothing_but_a_tensor(client):
    answer = client.post(INFER, content=np.array([[1.0, 2], [0, 1], [1, 1]]).tobytes(), headers={HEADER: "0"})

    assert answer.headers["content-type"] == "application/octet-stream"
    assert values_of(answer) == close_to([80, 30, 50])


def test_columns_are_tensors_of_their_own(client):
    columns = [
        {"name": "tenure", "datatype": "FP64", "shape": [2, 1], "data": [1, 2]},
        {"name": "plan", "datatype": "BYTES", "shape": [2], "data": ["basic", "pro"]},
    ]
    answer = client.post("/v2/models/plans/infer", json={"inputs": columns})

    assert values_of(answer) == close_to([1, 12])


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (CHAMPION, "1"),
        ("/v2/models/line/versions/champion/infer", "1"),
        ("/v2/models/line/versions/1/infer", "1"),
        ("/v2/models/line%40champion/infer", "1"),
        ("/v2/models/line/versions/2/infer", "2"),
        ("/v2/models/line@latest/infer", "2"),
        (INFER, "2"),
    ],
)
def test_versions_and_aliases(client, path, version):
    answer = client.post(path, json=asked())

    assert answer.json()["model_version"] == answer.headers["x-prism-model-version"] == version
    assert values_of(answer) == close_to([8 if version == "1" else 80])


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", {}, 400, ""),
        (b"{", {}, 400, "not JSON"),
        (b"[]", {}, 400, ""),
        (b'{"inputs": [{"name": "input"}]}', {}, 400, ""),
        (json.dumps(asked()).encode(), {HEADER: "x"}, 400, "not a number of bytes"),
        (json.dumps(asked()).encode(), {HEADER: "100000"}, 400, "the whole body has"),
        (json.dumps(asked()).encode(), {HEADER: "3"}, 400, ""),
        (
            json.dumps(asked(parameters={"shared_memory_region": "r"})).encode(),
            {},
            400,
            "shared_memory_region",
        ),
        (json.dumps(asked()).encode(), {"x-prism-timeout": "soon"}, 400, "X-Prism-Timeout"),
        (b" " * 204_801, {}, 413, "larger than"),
        (json.dumps(asked()).encode(), {"content-encoding": "br"}, 415, "Content-Encoding 'br'"),
        (json.dumps(asked([[1, 2, 3]])).encode(), {}, 422, ""),
        (json.dumps({"inputs": []}).encode(), {}, 422, "input"),
    ],
)
def test_what_is_wrong_is_told_in_one_string(client, body, headers, status, said):
    answer = client.post(INFER, content=body, headers=headers)

    assert answer.status_code == status
    assert said in error_of(answer)
    assert values_of(client.post(INFER, json=asked())) == close_to([80])


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/nope/infer",
        "/v2/models/line/versions/9/infer",
        "/v2/models/line/versions/nope/infer",
        "/v2/models/line@nope/infer",
        "/v2/models/line/infer/",
        "/v2/models/line@champion/versions/1/infer",
        "/v2/models/%00/infer",
        "/v2/models/..%2fline/infer",
        f"/v2/models/{'a' * 2000}/infer",
        f"/v2/models/line/versions/{'9' * 400}/infer",
    ],
)
def test_what_is_not_there(client, path):
    answer = client.post(path, json=asked())

    assert answer.status_code == 404
    error_of(answer)


def test_a_fault_of_the_model_has_an_id_for_the_log(client, server):
    body = {"inputs": [{"name": "seconds", "datatype": "FP64", "shape": [1], "data": [-1]}]}
    answer = client.post("/v2/models/counted/infer", json=body)

    assert answer.status_code == 500
    error_id = error_of(answer).rpartition("[")[2].removesuffix("]")
    assert len(error_id) >= 8
    assert error_id in server.log.read_text() + server.run("logs", "counted").stdout


def seconds(some: list[float]) -> dict:
    return {"inputs": [{"name": "seconds", "datatype": "FP64", "shape": [len(some)], "data": some}]}


def test_a_full_queue_says_when_to_come_back(client):
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: client.post("/v2/models/narrow/infer", json=seconds([0.3])), range(10))
        )

    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 and error_of(answer) for answer in refused)


def test_what_takes_too_long_is_given_up(client):
    answer = client.post("/v2/models/narrow/infer", json=seconds([0.5]), headers={"x-prism-timeout": "0.05"})

    assert answer.status_code == 504
    error_of(answer)


# --- on the wire ------------------------------------------------------------------------------------


def wire(server, *pieces: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send pieces over one connection; return status, headers and body of the one answer."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as sock:
        for piece in pieces:
            sock.sendall(piece)
        with sock.makefile("rb") as file:
            status = file.readline().decode().strip()
            headers = {}
            while line := file.readline().strip().decode():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            return status, headers, file.read(int(headers["content-length"]))


@pytest.mark.parametrize("cut", [20, 90, 200, None])
def test_a_request_in_pieces(server, cut):
    head, behind = raw([[1, 2]], parameters={"binary_data_output": True})
    request = (
        f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{HEADER}: {len(head)}\r\n"
        f"Content-Length: {len(head) + len(behind)}\r\n\r\n".encode()
        + head
        + behind
    )
    status, headers, body = wire(server, request[:cut], request[cut:] if cut else b"")

    assert status == "HTTP/1.1 200 OK"
    size = int(headers["inference-header-content-length"])
    assert np.frombuffer(body[size:], "<f8").tolist() == close_to([80])


def test_a_chunked_request_is_the_same(server):
    body = json.dumps(asked()).encode()
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
    status, _, answer = wire(
        server, f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks
    )

    assert status == "HTTP/1.1 200 OK"
    assert json.loads(answer)["outputs"][0]["data"] == close_to([80])


def test_a_large_tensor_and_its_answer(client):
    rows = np.arange(20_000, dtype="<f8").reshape(-1, 2)
    answer = client.post(INFER, content=rows[:12_000].tobytes(), headers={HEADER: "0"})

    assert values_of(answer) == close_to((rows[:12_000] @ [20, 30]).tolist())


def test_all_at_once_and_each_its_own(client):
    """Many threads, each with values of its own; none gets another's."""
    wrong = []

    def ask(number: int) -> None:
        for n in range(20):
            (value,) = values_of(client.post(INFER, json=asked([[number, n]])))
            if abs(value - (20 * number + 30 * n)) > 1e-6:
                wrong.append((number, n, value))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
