"""Through the real server: answers outlive a restart, and a Redis in trouble fails no request."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from prism_core.testing.server import ServerProcess

pytestmark = pytest.mark.system

CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {"Paris": 3.0, "Rome": 2.0}}
PATIENCE_S = 20


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "cities.lookup.json"
    path.write_text(json.dumps(CITIES))
    return path


@pytest.fixture
def serve(tmp_path, artifact):
    """Return what starts a server with the model ``cities`` and a second level."""
    servers: list[ServerProcess] = []

    def serve(url: str, name: str = "data", *, timeout_ms: float = 4, **redis: object) -> ServerProcess:
        config = {
            "cache": {"second_level": "redis", "second_level_timeout_ms": timeout_ms},
            "plugins": {"redis": {"url": url, **redis}},
            "models": {"cities": {"path": str(artifact), "loader": "lookup"}},
        }
        servers.append(ServerProcess(tmp_path / name, config=json.dumps(config)))
        return start(servers[-1])

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def own_redis(make_redis):
    """A server that the test may break."""
    server = make_redis()
    yield server
    server.go_on()
    server.stop()


def start(server):
    """Start it and wait for its model."""
    server.start()
    wait_until(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200, server)
    return server


def predict(server, city="Rome", client=httpx):
    return client.post(f"{server.url}/model/cities/predict", json=[{"city": city}], timeout=PATIENCE_S)


def metrics(server):
    """Return the second level's numbers by metric and labels."""
    text = server.metrics()
    found = re.findall(r'^(prism_second_level\w*)\{cache="redis",?(.*)\} (\S+)$', text, re.M)
    return {(name, labels): float(value) for name, labels, value in found}


def calls(server, operation, result):
    labels = f'operation="{operation}",result="{result}"'
    return metrics(server).get(("prism_second_level_total", labels), 0.0)


def is_in(server, operation, state):
    return metrics(server)["prism_second_level_breaker", f'operation="{operation}",state="{state}"']


def wait_until(condition, server):
    """Poll what has no event on this side of the process."""
    pause = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail(f"{metrics(server)}\n{server.log.read_text()}")


class Load:
    """Several clients that ask without end, now for the same and now for something new."""

    def __init__(self, server, clients=8):
        self.server, self.clients = server, clients
        self.codes, self.wrong = Counter(), []
        self._stop = threading.Event()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(self.clients)
        self._done = [self._pool.submit(self._ask, number) for number in range(self.clients)]
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._pool.shutdown()
        for done in self._done:
            done.result()

    def _ask(self, number):
        with httpx.Client() as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                city = "Rome" if turn % 3 == 0 else f"town {number} {turn}"
                answer = predict(self.server, city, client)
                self.codes[answer.status_code] += 1
                if answer.status_code != 200 or answer.json()["predictions"] != [
                    2.0 if city == "Rome" else 1.0
                ]:
                    self.wrong.append(answer.text)

    def more(self, answers=200):
        """Wait for so many further answers."""
        before = self.codes.total()
        wait_until(lambda: self.codes.total() >= before + answers, self.server)


def test_answers_outlive_a_restart(own_redis, serve):
    server = serve(own_redis.url, timeout_ms=5000)  # the machine may be busy
    first = predict(server)
    wait_until(lambda: calls(server, "put", "kept"), server)
    server.stop()
    start(server)
    second = predict(server)

    assert first.headers["x-prism-cache"] == "miss"
    assert second.headers["x-prism-cache"] == "hit"
    assert second.content == first.content
    assert calls(server, "get", "hit") == 1


@pytest.mark.parametrize(("namespace", "expected"), [("team", "hit"), ("", "miss")])
def test_two_servers_share_where_they_are_told_to(own_redis, serve, namespace, expected):
    shared = {"namespace": namespace} if namespace else {}
    one, other = (serve(own_redis.url, name, timeout_ms=5000, **shared) for name in ("one", "other"))
    predict(one)
    wait_until(lambda: calls(one, "put", "kept"), one)

    assert predict(other).headers["x-prism-cache"] == expected


def test_a_redis_that_dies_and_comes_back_in_the_middle_of_load(own_redis, serve):
    server = serve(own_redis.url)
    with Load(server) as load:
        load.more()
        own_redis.kill()
        wait_until(lambda: is_in(server, "get", "open") and is_in(server, "put", "open"), server)
        load.more()
        own_redis.start()
        wait_until(lambda: is_in(server, "get", "closed") and is_in(server, "put", "closed"), server)
        load.more()

    assert not load.wrong
    assert set(load.codes) == {200}
    assert calls(server, "get", "error") + calls(server, "get", "timeout")
    assert calls(server, "get", "refused")


def test_a_redis_that_is_paused_in_the_middle_of_load(own_redis, serve):
    server = serve(own_redis.url)
    with Load(server) as load:
        load.more()
        own_redis.pause()
        wait_until(lambda: is_in(server, "get", "open") and is_in(server, "put", "open"), server)
        load.more()
        own_redis.go_on()
        wait_until(lambda: is_in(server, "get", "closed") and is_in(server, "put", "closed"), server)
        load.more()

    assert not load.wrong
    assert set(load.codes) == {200}
    assert calls(server, "get", "timeout")


def test_a_redis_that_fills_up_and_is_flushed_in_the_middle_of_load(own_redis, serve):
    server = serve(own_redis.url)
    with Load(server) as load:
        load.more()
        own_redis.run("config", "set", "maxmemory", "1")
        wait_until(lambda: is_in(server, "put", "open") and is_in(server, "get", "closed"), server)
        own_redis.run("flushall")
        own_redis.run("config", "set", "maxmemory", "0")
        wait_until(lambda: is_in(server, "put", "closed"), server)
        load.more()

    assert not load.wrong
    assert set(load.codes) == {200}


@pytest.mark.parametrize("trouble", ["kill", "pause"])
def test_a_start_and_a_stop_without_redis(own_redis, serve, trouble):
    getattr(own_redis, trouble)()
    server = serve(own_redis.url)

    assert predict(server).json()["predictions"] == [2.0]
    assert "cache.second_level_down" in server.log.read_text()
    assert server.stop() in (0, -signal.SIGTERM)


def test_a_password_is_in_no_log(locked_redis, serve):
    server = serve(f"unix://:geheimnis@{locked_redis.socket}")
    predict(server)
    server.stop()
    log = server.log.read_text()

    assert "cache.second_level_down" in log
    assert "geheimnis" not in log


def test_tls_and_a_password_through_the_server(tls_redis, certificate, serve):
    url = f"rediss://:sesam@127.0.0.1:{tls_redis.tls_port}?ssl_ca_certs={certificate[1]}"
    server = serve(url)
    predict(server)

    wait_until(lambda: calls(server, "put", "kept"), server)
