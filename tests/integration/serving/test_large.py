"""Large bodies over the whole road, with small requests beside them."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import numpy as np
import pytest

RAW = {"content-type": "application/octet-stream"}
TABLE = np.random.default_rng(0).normal(size=(100_000, 2)).round(5)
JSON = json.dumps({"input": TABLE.tolist()}).encode()
CSV = "\n".join(f"{a},{b}" for a, b in TABLE.tolist()).encode()
WANTED = TABLE @ [2, 3]


@pytest.fixture
def url(server):
    return f"{server.url}/model/line/predict"


async def ask_small(client, url, number, headers):
    answer = await client.post(url, json={"input": [[number, 1]]}, headers=headers)
    return answer.json()["predictions"]


@pytest.mark.parametrize("headers", [{}, {"cache-control": "no-store"}])
@pytest.mark.parametrize(
    ("media_type", "body"),
    [("application/octet-stream", TABLE.tobytes()), ("application/json", JSON), ("text/csv", CSV)],
)
async def test_small_and_large_requests_together_are_all_answered_right(url, media_type, body, headers):
    async with httpx.AsyncClient(timeout=60, headers=headers) as client:

        async def ask_large(number):
            answer = await client.post(url, content=body, headers={"content-type": media_type})
            return answer.json()["predictions"]

        large = [asyncio.create_task(ask_large(number)) for number in range(3)]
        small = 0
        while not all(task.done() for task in large):
            assert await ask_small(client, url, small, headers) == pytest.approx([2 * small + 3])
            small += 1
        for task in large:
            np.testing.assert_allclose(await task, WANTED)

    assert small > 3


def test_a_large_body_in_odd_pieces_and_again_on_one_connection(url):
    """The first head is learned, the others go the short way."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    body = TABLE.tobytes()
    head = (
        f"POST /model/line/predict HTTP/1.1\r\nHost: x\r\nContent-Type: {RAW['content-type']}\r\n"
        f"Accept: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    message = head.encode() + body
    with (
        socket.create_connection((host, int(port)), timeout=30) as connection,
        connection.makefile("rb") as file,
    ):
        for size in (len(message), 100, 65_537, 400_000, len(message)):
            for at in range(0, len(message), size):
                connection.sendall(message[at : at + size])
            lines = iter(file.readline, b"\r\n")
            status, *headers = [line.decode().strip() for line in lines]
            length = int(dict(line.split(": ") for line in headers)["content-length"])
            assert status == "HTTP/1.1 200 OK"
            np.testing.assert_allclose(np.frombuffer(file.read(length)), WANTED)


def test_one_that_hangs_up_half_way_is_not_noticed(url, predict):
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    body = TABLE.tobytes()
    head = f"POST /model/line/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head + body, head + body[:-1], head + body[:-1], head + body[:500_000]):
        with socket.create_connection((host, int(port))) as deserter:
            deserter.sendall(sent)
        assert predict(url, [[1, 1]]).json()["predictions"] == pytest.approx([5])


def test_a_body_over_the_limit_is_refused_and_one_below_it_taken(make_server, models):
    server = make_server("--log-level", "warning", config="limits: {max_body: 1 MB}\n")
    server.upload(models / "line.pkl")
    url = f"{server.url}/model/line/predict"
    for _ in range(2):
        assert httpx.post(url, content=bytes(1024 * 1024), headers=RAW, timeout=30).status_code == 200
        assert httpx.post(url, content=bytes(2 * 1024 * 1024), headers=RAW, timeout=30).status_code == 413
