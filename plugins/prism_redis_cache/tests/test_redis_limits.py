"""Two real servers hold one limit through a real Redis, and go on when it dies."""

from __future__ import annotations

import json
import re
import threading

import httpx
import pytest

from prism_core.testing.server import ServerProcess

pytestmark = pytest.mark.system

CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {}}
# Twenty at once, and no more in the time of a test.
RATES = {"address": "1/h burst 20"}
PATIENCE_S = 20


class Server(ServerProcess):
    """A server that is asked through one client, as from many addresses."""

    client: httpx.Client

    def predict(self, address):
        headers = {"X-Forwarded-For": address}
        return self.client.post(f"{self.url}/model/cities/predict", json=[{"city": "x"}], headers=headers)

    def came_in(self, address, of=30):
        """Return how many of some requests came in."""
        return sum(self.predict(address).status_code == 200 for _ in range(of))

    def left(self, address):
        """Return how many it says are left, having asked for one."""
        return int(re.search(r"r=(\d+)", self.predict(address).headers["ratelimit"])[1])

    def hears_that(self, left, address):
        """Return whether it says soon that there are no more; it is asked five times for that at most."""
        pause = threading.Event()
        return any(self.left(address) <= left or pause.wait(0.2) for _ in range(5))

    def is_ready(self):
        return self.client.get(f"{self.url}/health/ready").status_code == 200


@pytest.fixture(scope="module")
def own_redis(make_redis):
    """A server that the tests may break, and mend."""
    return make_redis()


@pytest.fixture(scope="module")
def serve(tmp_path_factory, own_redis):
    """Return what starts servers that share limits, and trust this machine's word about addresses."""
    directory = tmp_path_factory.mktemp("limits")
    artifact = directory / "cities.lookup.json"
    artifact.write_text(json.dumps(CITIES))
    servers: list[Server] = []

    def serve(**rates):
        config = {
            "models": {"cities": {"path": str(artifact), "loader": "lookup"}},
            "rates": {**RATES, "store": "redis", **rates},
            "trusted_proxies": ["127.0.0.1"],
            "plugins": {"redis": {"url": own_redis.url, "namespace": "team"}},
            "load": ["lookup", "redis"],
        }
        servers.append(Server(directory / str(len(servers)), config=json.dumps(config)))
        servers[-1].client = client
        servers[-1].start()
        wait_until(servers[-1].is_ready)
        return servers[-1]

    with httpx.Client(timeout=PATIENCE_S) as client:
        yield serve
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def pair(serve):
    """Two servers that share limits."""
    return serve(), serve()


def wait_until(condition):
    """Poll what has no event on this side of the process."""
    pause = threading.Event()
    for _ in range(PATIENCE_S * 50):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"not so within {PATIENCE_S} s")


def store_is_up(server):
    return re.search(r"^prism_rate_store_up (\S+)$", server.metrics(), re.M)[1] == "1.0"


def test_what_came_in_at_one_is_counted_at_the_other(pair):
    one, two = pair

    assert one.came_in("192.0.2.1") == 20
    assert two.hears_that(0, "192.0.2.1")
    assert two.came_in("192.0.2.1") == 0
    assert two.came_in("192.0.2.2") == 20


def test_each_goes_on_by_itself_while_redis_is_down_and_shares_again_afterwards(own_redis, pair):
    one, two = pair
    own_redis.kill()
    down = [server.came_in("192.0.2.3") for server in pair]
    wait_until(lambda: not (store_is_up(one) or store_is_up(two)))
    own_redis.start()
    wait_until(lambda: store_is_up(one) and store_is_up(two))
    one.came_in("192.0.2.4", of=15)

    assert down == [20, 20]
    assert two.hears_that(5, "192.0.2.4")


def test_a_server_that_wants_to_be_exact_lets_nobody_in_meanwhile(own_redis, serve):
    server = serve(store_down="refuse")
    numbers = iter(range(10, 200))
    wait_until(lambda: server.predict("192.0.2.5").status_code == 200)
    for harm, mend in ((own_redis.kill, own_redis.start), (own_redis.pause, own_redis.go_on)):
        harm()
        wait_until(lambda: server.predict(f"192.0.2.{next(numbers)}").status_code == 503)
        refusal = server.predict("192.0.2.6")
        mend()

        assert refusal.json()["code"] == "overloaded"
        assert int(refusal.headers["retry-after"]) >= 1
        wait_until(lambda: server.predict("192.0.2.7").status_code == 200)
        assert server.is_ready()
