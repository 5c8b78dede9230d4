"""Keys with two gateways: valid in each when they are made, and in none when they are revoked."""

from __future__ import annotations

import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer, predict
from tests.integration.gateways.conftest import followers, to_each
from tests.integration.gateways.load import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    data = tmp_path_factory.mktemp("keys") / "data"
    with ServerProcess(data, "--auth", "keys", "--gateways", "2") as server:
        server.upload(models / "2.pkl", "--name", "m")
        yield server


def test_a_key_is_valid_in_every_gateway_from_when_it_is_made_until_it_is_revoked(server):
    with to_each(server) as found:
        clients = list(found.values())
        for _ in range(3):
            assert [predict(client).status_code for client in clients] == [401, 401]
            made = server.json("keys", "create", "--model", "m")
            assert [predict(client, made["key"]).status_code for client in clients] == [200, 200]
            assert [predict(client, made["key"], "none").status_code for client in clients] == [403, 403]
            pages = [client.get("/model/m", headers=bearer(made["key"])).status_code for client in clients]
            assert pages == [200, 200]
            server.run("keys", "revoke", made["id"])
            assert [predict(client, made["key"]).status_code for client in clients] == [401, 401]


def test_a_follower_that_is_new_knows_the_keys_before_it_accepts(server):
    made = server.json("keys", "create")
    (old,) = followers(server)
    old.kill()
    wait_until(lambda: [one.pid for one in followers(server)] not in ([], [old.pid]))
    wait_until(lambda: server.log.read_text().count("follower.accepting") == 2)

    with to_each(server) as clients:
        assert [predict(client, made["key"]).status_code for client in clients.values()] == [200, 200]


def test_use_in_a_follower_is_told_to_the_leader(server):
    made = server.json("keys", "create")
    with to_each(server) as clients:
        predict(list(clients.values())[1], made["key"])

        def last_used():
            return {key["id"]: key["last_used"] for key in server.json("keys", "list")}[made["id"]]

        wait_until(lambda: last_used() is not None)
