"""Two gateways of one server hold one limit together, and count for one set of metrics."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import to_each

CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {}}
ROW = b'[{"city": "Paris"}]'
PATH = "/model/cities/predict"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    directory = tmp_path_factory.mktemp("limited")
    artifact = directory / "cities.lookup.json"
    artifact.write_text(json.dumps(CITIES))
    config = {
        "models": {"cities": {"path": str(artifact), "loader": "lookup"}},
        "rates": {"address": "40/s burst 20"},
        "trusted_proxies": ["127.0.0.1"],
        "load": ["lookup"],
        "gateways": 2,
    }
    with ServerProcess(directory / "data", config=json.dumps(config)) as server:
        yield server


def predict(client, address):
    return client.post(PATH, content=ROW, headers={"X-Forwarded-For": address})


def test_what_came_in_through_one_is_counted_by_the_other(limited):
    """The other hears of it when it has let one in itself."""
    with to_each(limited) as clients:
        leader, follower = clients.values()
        for one, two, address in ((leader, follower, "192.0.2.1"), (follower, leader, "192.0.2.2")):
            codes = [predict(one, address).status_code for _ in range(60)]
            predict(two, address)
            time.sleep(0.1)  # an exchange, which nobody out here can see

            left = predict(two, address).headers["ratelimit"]
            assert 429 in codes
            assert int(re.search(r"r=(\d+)", left)[1]) < 15


def test_together_they_let_in_what_one_would(limited):
    begun = time.monotonic()

    def ask(client):
        came_in = 0
        while time.monotonic() - begun < 2.0:
            came_in += predict(client, "192.0.2.3").status_code == 200
        return came_in

    with to_each(limited) as clients, ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        came_in = sum(pool.map(ask, clients.values()))
        took_s = time.monotonic() - begun

    # A burst may come in at each before they have heard of each other.
    assert 0.8 * (20 + 40 * 2.0) <= came_in <= 2 * 20 + 40 * took_s


def refused(server):
    found = re.search(r'^prism_refused_total\{reason="address"\} (\S+)$', server.metrics(), re.M)
    return float(found[1]) if found else 0.0


def test_refusals_of_both_are_counted(limited):
    with to_each(limited) as clients:
        before = refused(limited)
        codes = [predict(client, "192.0.2.4").status_code for client in clients.values() for _ in range(60)]

        assert refused(limited) - before == codes.count(429) > 60
