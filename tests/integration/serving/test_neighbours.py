"""Callers that meet in a batch do not notice each other. Known failures of existing servers."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest


@pytest.fixture
def url(server):
    return f"{server.url}/model/line/predict"


async def ask(client, url, row):
    return await client.post(url, json={"input": [row]})


async def test_the_honest_one_gets_its_own_answer(url):
    """One honest caller, one whose row is too short, one with text in a number column, at once."""
    async with httpx.AsyncClient(timeout=30) as client:
        for number in range(50):
            honest, short, text = await asyncio.gather(
                ask(client, url, [number, 1]), ask(client, url, [1]), ask(client, url, [1, "many"])
            )
            assert honest.json()["predictions"] == pytest.approx([2 * number + 3])
            assert (short.status_code, text.status_code) == (422, 422)

    assert [(e["row"], e["got"]) for e in text.json()["details"]["errors"]] == [(0, "'many'")]
    assert short.json()["details"]["errors"][0]["row"] == 0
    assert "2" in short.json()["detail"]


async def test_one_that_hangs_up_in_the_middle_of_a_batch_is_not_noticed(server, url):
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"input": [[1, 1]] * 5000}).encode()
    head = f"POST /model/line/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with httpx.AsyncClient(timeout=30) as client:
        for _ in range(10):
            with socket.create_connection((host, int(port))) as deserter:
                deserter.sendall(head + body)
            answers = await asyncio.gather(*(ask(client, url, [number, 0]) for number in range(20)))
            assert [a.json()["predictions"][0] for a in answers] == pytest.approx([2 * n for n in range(20)])


async def test_integers_and_floats_do_not_change_each_other(url):
    async with httpx.AsyncClient(timeout=30) as client:
        big = 2**53 - 1
        for _ in range(20):
            whole, half = await asyncio.gather(ask(client, url, [big, 0]), ask(client, url, [0.5, 0.25]))
            assert whole.json()["predictions"] == pytest.approx([2 * big])
            assert half.json()["predictions"] == pytest.approx([1.75])


async def test_a_hundred_callers_get_a_hundred_answers(url):
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=100)) as client:
        answers = await asyncio.gather(*(ask(client, url, [number, -number]) for number in range(100)))

    assert [a.json()["predictions"][0] for a in answers] == pytest.approx([-n for n in range(100)])
