"""A whole server of two gateways behind a forwarder: cut, stopped and started again, drained."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from pathlib import Path

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.load import wait_until

PLUGIN = (Path(__file__).with_name("prism_forwarder.py"), Path(__file__).parents[1] / "tunnels.py")
FLAGS = ("--gateways", "2", "--plugins", "forwarder", "--sandbox", "off")


@pytest.fixture
def control(tmp_path, monkeypatch):
    """Install the provider for servers of this test; return a function that commands it."""
    site, path = tmp_path / "site", tmp_path / "control"
    info = site / "prism_forwarder-1.0.dist-info"
    info.mkdir(parents=True)
    for file in PLUGIN:
        shutil.copy(file, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-forwarder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nforwarder = prism_forwarder\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("FORWARDER", str(path))

    def command(word):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(f"{word}\n".encode())
            assert connection.recv(10) == b"done"

    return command


@pytest.fixture
def make_server(tmp_path, control):
    (tmp_path / "m.two").write_text("two")
    servers = []

    def make():
        servers.append(ServerProcess(tmp_path / "data", *FLAGS).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def admin(server):
    token = (server.data_dir / "admin-token").read_text()
    return httpx.Client(
        base_url=server.facts["admin"], headers={"Authorization": f"Bearer {token}"}, timeout=30
    )


def tunnel(client):
    """Return what is known of the tunnel, None where it is not open."""
    found = client.get("/admin/v1/tunnels").json()["tunnels"]
    return next((one for one in found if one["name"] == "forwarder"), None)


def predict(url, token=""):
    headers = {"X-Prism-Token": token} if token else {}
    return httpx.post(f"{url}/predict", json={"input": [2.0]}, headers=headers, timeout=10)


def test_links_live_through_cuts_and_restarts(make_server, control, tmp_path):
    server = make_server()
    server.upload(tmp_path / "m.two", "--name", "m")
    with admin(server) as client:
        link = client.post("/admin/v1/links", json={"model": "m", "tunnel": "forwarder"}).json()
        first = tunnel(client)
        assert link["url"].startswith(first["url"])
        page = link["url"].partition("#")[0]
        assert predict(page, link["token"]).json()["predictions"] == [4.0]

        lan = Steady(f"{server.url}/model/m")
        control("cut")
        wait_until(lambda: (tunnel(client) or first)["url"] != first["url"])
        assert lan.stop() == {200}, "the server answers its own network meanwhile"
    server.stop()

    server = make_server()
    with admin(server) as client:
        wait_until(lambda: tunnel(client)["state"] == "up")
        (shown,) = client.get("/admin/v1/links").json()["links"]
        answer = predict(shown["url"], link["token"])
        closed = client.delete(f"/admin/v1/links/{link['slug']}")
        wait_until(lambda: tunnel(client) is None)

    assert answer.json()["predictions"] == [4.0]
    assert (shown["slug"], shown["state"], closed.status_code) == (link["slug"], "up", 200)
    assert shown["url"].startswith("http://127.0.0.1:")
    assert len({first["url"], shown["url"]}) == 2
    with pytest.raises(httpx.TransportError):
        predict(shown["url"], link["token"])


class Steady:
    """Asks for predictions, one after another, until it is stopped."""

    def __init__(self, url):
        self.statuses, self._over = set(), threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url,))
        self._thread.start()

    def _ask(self, url):
        while not self._over.is_set():
            self.statuses.add(predict(url).status_code)

    def stop(self):
        self._over.set()
        self._thread.join()
        return self.statuses


@pytest.mark.sweep
def test_a_tunnel_that_hangs_does_not_hold_up_the_end(make_server, control, tmp_path):
    server = make_server()
    server.upload(tmp_path / "m.two", "--name", "m")
    with admin(server) as client:
        client.post("/admin/v1/links", json={"model": "m", "tunnel": "forwarder"})
    control("hang")

    server.process.terminate()

    assert server.process.wait(20) == 0
    events = [
        json.loads(line)["action"] for line in (server.data_dir / "audit.jsonl").read_text().splitlines()
    ]
    assert "link.up" in events
    assert "Traceback" not in server.log.read_text()
