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
        "rates": {"address": "1/s burst 200"},
        "trusted_proxies": ["127.0.0.1"],
        "load": ["lookup"],
        "gateways": 2,
    }
    with ServerProcess(directory / "data", config=json.dumps(config)) as server:
        yield server


def predict(client, address):
    return client.post(PATH, content=ROW, headers={"X-Forwarded-For": address})


def left(client, address):
    """Return how many a gateway says are left, having asked for one."""
    return int(re.search(r"r=(\d+)", predict(client, address).headers["ratelimit"])[1])


def test_what_came_in_through_one_is_counted_by_the_other(limited):
    """The other hears of it when it has let one in itself."""
    with to_each(limited) as clients:
        leader, follower = clients.values()
        for one, two, address in ((leader, follower, "192.0.2.1"), (follower, leader, "192.0.2.2")):
            for _ in range(100):
                predict(one, address)

            for _ in range(40):  # which leaves 160 of its own
                time.sleep(0.05)
                if left(two, address) < 110:
                    break
            else:
                pytest.fail("it has not heard of the other's 100")


def test_together_they_let_in_what_one_would(limited):
    begun = time.monotonic()

    def ask(client):
        return sum(predict(client, "192.0.2.3").status_code == 200 for _ in range(250))

    with to_each(limited) as clients, ThreadPoolExecutor() as pool:
        came_in = sum(pool.map(ask, clients.values()))

    # Each would let in all 200 and more alone; before they have heard of each other some are too many.
    assert 200 <= came_in <= 300 + time.monotonic() - begun


def refused(server):
    found = re.search(r'^prism_refused_total\{reason="address"\} (\S+)$', server.metrics(), re.M)
    return float(found[1]) if found else 0.0


def test_refusals_of_both_are_counted(limited):
    with to_each(limited) as clients:
        before = refused(limited)
        codes = [predict(client, "192.0.2.4").status_code for client in clients.values() for _ in range(220)]

        assert refused(limited) - before == codes.count(429) >= 20
