"""A live roll-out, 1 to 100 %, under load and with replicas killed in the middle: not one request failed."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import httpx
import joblib
import numpy as np
import psutil
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.testing.server import ServerProcess
from tests.integration.traffic.pipes import Answer, Pipes, asking

OLD, NEW = 1, 2
STAGES = (1, 5, 10, 25, 50, 100)
# At these a replica is killed: one of the version that comes, one of the version that goes.
KILLED = {10: NEW, 50: OLD}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Two versions: one says what it is asked, the other the double."""
    directory, x = tmp_path_factory.mktemp("models"), np.arange(4.0).reshape(-1, 1)
    for factor in (OLD, NEW):
        joblib.dump(LinearRegression().fit(x, x[:, 0] * factor), directory / f"{factor}.pkl")
    return directory


class Owner:
    """Changes the route by the admin API, and knows since when which one is in effect."""

    def __init__(self, server: ServerProcess, *, falls_back: bool) -> None:
        token = (server.data_dir / "admin-token").read_text()
        self._client = httpx.AsyncClient(
            base_url=f"{server.facts['admin']}/admin/v1/models/m",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        self._falls_back = falls_back
        self.asked: dict[int, float] = {}
        self.done: dict[int, float] = {}

    async def lead(self, percent: int) -> None:
        """Give the new version so much of the traffic."""
        split = [{"version": OLD, "weight": 100 - percent}, {"version": NEW, "weight": percent}]
        self.asked[percent] = time.monotonic()
        fallback = [{"version": OLD}] if self._falls_back and percent else []
        route = {"split": split, "sticky": "header:X-User-ID", "fallback": fallback}
        answer = await self._client.put("/route", json=route)
        self.done[percent] = time.monotonic()
        assert answer.status_code == 200, answer.text

    async def kill(self, version: int) -> None:
        """Kill a replica."""
        answer = await self._client.get(f"/versions/{version}")
        psutil.Process(answer.json()["replicas"][0]["pid"]).kill()

    async def close(self) -> None:
        await self._client.aclose()


async def roll_out(server: ServerProcess, requests: int, *, falls_back: bool) -> tuple[Pipes, Owner]:
    """Bring the new version from 0 to 100 % of so many requests, in equal parts."""
    part = requests // (len(STAGES) + 1)
    owner = Owner(server, falls_back=falls_back)
    await owner.lead(0)
    async with asking(server.url, "m") as pipes:
        await pipes.until(part)
        for number, percent in enumerate(STAGES, 2):
            await owner.lead(percent)
            if percent in KILLED:
                await pipes.until(part * number - part // 2)
                await owner.kill(KILLED[percent])
            await pipes.until(part * number)
        await pipes.until(requests)
    await owner.close()
    return pipes, owner


def check_none_failed(pipes: Pipes, requests: int) -> None:
    """Each request has one answer, and it is what its version says of its value."""
    assert pipes.broken == []
    assert len(pipes.answers) == pipes.asked >= requests
    assert Counter(answer.status for answer in pipes.answers) == {200: pipes.asked}
    assert len({answer.value for answer in pipes.answers}) == pipes.asked
    for answer in pipes.answers:
        said = json.loads(answer.body)
        assert said["version"] == answer.version
        assert said["predictions"][0] == pytest.approx(answer.value * answer.version)


def arm(answer: Answer) -> int:
    """Return the version that a request was for: the old one is nobody's but the new one's fallback."""
    return NEW if answer.fallback else answer.version


def check_route(pipes: Pipes, owner: Owner) -> None:
    """Each request went to a version that had a weight while it was on its way, as many as by the weights."""
    assert {arm(answer) for answer in pipes.between(owner.done[0], owner.asked[1])} == {OLD}
    assert {arm(answer) for answer in pipes.answers if answer.asked > owner.done[100]} == {NEW}
    for percent, following in pairwise(STAGES):
        seen = {
            answer.user: arm(answer) for answer in pipes.between(owner.done[percent], owner.asked[following])
        }
        share = sum(version == NEW for version in seen.values()) / len(seen)
        deviation = math.sqrt(percent * (100 - percent) / len(seen)) / 100
        assert abs(share - percent / 100) < 5 * deviation


def check_fallbacks(pipes: Pipes, *, falls_back: bool) -> None:
    """Nobody fell back but for what a killed replica explains; a circuit may have heard of it."""
    told = {answer.fallback for answer in pipes.answers} - {""}
    assert told <= ({"replica_lost", "still_loading", "circuit_open"} if falls_back else set())


def check_users_stay(pipes: Pipes) -> None:
    """Whoever has come to the new version stays there, in whatever gateway."""
    by_user: dict[int, list[Answer]] = defaultdict(list)
    for answer in pipes.answers:
        by_user[answer.user].append(answer)
    for answers in by_user.values():
        came = min((answer.came for answer in answers if arm(answer) == NEW), default=math.inf)
        assert all(arm(answer) == NEW for answer in answers if answer.asked > came)


@pytest.mark.parametrize(
    ("requests", "gateways", "falls_back"),
    [
        (14_000, 1, False),
        pytest.param(100_000, 2, True, marks=pytest.mark.sweep),
    ],
)
async def test_not_one_request_fails_in_a_live_roll_out(tmp_path, models, requests, gateways, falls_back):
    with ServerProcess(tmp_path / "data", "--gateways", str(gateways)) as server:
        for version in (OLD, NEW):
            server.upload(models / f"{version}.pkl", "--name", "m")
        pipes, owner = await roll_out(server, requests, falls_back=falls_back)
        metrics = server.metrics()

    check_none_failed(pipes, requests)
    check_route(pipes, owner)
    check_users_stay(pipes)
    check_fallbacks(pipes, falls_back=falls_back)
    restarts = [line for line in metrics.splitlines() if line.startswith("prism_replica_restarts_total{")]
    assert sorted(line.rpartition(" ")[2] for line in restarts) == ["1.0", "1.0"]
    counted = sum(
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("prism_routed_total{")
    )
    assert counted == pipes.asked
