"""A replica is useful alone: plain HTTP on its own socket, as `curl --unix-socket` speaks it."""

from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_replica_answers_on_its_socket(server, media_type):
    (replica,) = server.json("show", "line")["replicas"]
    transport = httpx.HTTPTransport(uds=replica["address"].removeprefix("unix:"))
    with httpx.Client(transport=transport, base_url="http://replica") as curl:
        answer = curl.post("/predict", content=b'{"input": [[1, 1]]}', headers={"content-type": media_type})

    assert answer.json()["predictions"] == pytest.approx([5])
