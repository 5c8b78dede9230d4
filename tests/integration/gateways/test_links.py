"""Links with two gateways: valid in each from when they are made until they are revoked, counted once."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer
from tests.integration.gateways.conftest import followers, to_each
from tests.integration.gateways.load import wait_until
from tests.integration.logs.conftest import admin_of

BODY = {"input": [[1.0]]}


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    data = tmp_path_factory.mktemp("links") / "data"
    with ServerProcess(data, "--gateways", "2", "--access-log", "access.log") as server:
        server.upload(models / "2.pkl", "--name", "m")
        yield server


@pytest.fixture
def owner(server):
    with admin_of(server) as client:
        yield client


def ask(client, link, shown=None):
    headers = bearer(shown or link["token"])
    return client.post(f"/s/{link['slug']}/predict", json=BODY, headers=headers)


def make(owner, **wish):
    return owner.post("/admin/v1/links", json={"model": "m", **wish}).json()


def test_a_link_is_valid_in_every_gateway_from_when_it_is_made_until_it_is_revoked(server, owner):
    with to_each(server) as found:
        clients = list(found.values())
        for _ in range(3):
            link = make(owner)
            opened = [
                client.post(f"/s/{link['slug']}/open", json={"token": link["token"]}).json()["session"]
                for client in clients
            ]
            assert [ask(client, link).status_code for client in clients] == [200, 200]
            assert [ask(client, link, opened[0]).status_code for client in clients] == [200, 200]
            assert [ask(client, link, "wrong").status_code for client in clients] == [401, 401]
            owner.delete(f"/admin/v1/links/{link['slug']}")
            told = [ask(client, link, shown).status_code for client in clients for shown in (None, *opened)]
            assert told == [404] * 6


def test_uses_are_exact_in_all_gateways_together(server, owner):
    link = make(owner, uses=15)
    with to_each(server) as found:
        clients = list(found.values())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: ask(clients[n % 2], link).status_code, range(60)))

    assert Counter(answers) == {200: 15, 410: 45}


def test_a_follower_that_is_new_knows_the_links_before_it_accepts(server, owner):
    link = make(owner)
    (old,) = followers(server)
    old.kill()
    wait_until(lambda: [one.pid for one in followers(server)] not in ([], [old.pid]))
    wait_until(lambda: server.log.read_text().count("follower.accepting") == 2)

    with to_each(server) as clients:
        assert [ask(client, link).status_code for client in clients.values()] == [200, 200]


def test_use_in_a_follower_is_told_to_the_leader(server, owner):
    link = make(owner)
    with to_each(server) as clients:
        ask(list(clients.values())[1], link)

    def known():
        told = {one["slug"]: one for one in owner.get("/admin/v1/links").json()["links"]}[link["slug"]]
        return told["used"] == 1 and told["last_used"] is not None

    wait_until(known)


def test_every_gateway_writes_who_it_was_also_of_what_it_has_handed_on(server, owner):
    """A link that is counted is answered by the leader, wherever it is asked; pages are, too."""
    link, counted = make(owner), make(owner, uses=9)
    with to_each(server) as clients:
        for client in clients.values():
            told = [ask(client, one) for one in (link, counted)]
            told.append(client.get(f"/s/{counted['slug']}/metadata", headers=bearer(counted["token"])))
            assert [answer.status_code for answer in told] == [200] * 3
            assert not any("x-prism-answered" in answer.headers for answer in told)

    def lines():
        text = (server.data_dir / "access.log").read_text()
        found = [json.loads(line) for line in text.splitlines() if "/s/" in line]
        return [line for line in found if line["path"].split("/")[2] in (link["slug"], counted["slug"])]

    wait_until(lambda: len(lines()) == 6)
    assert Counter((line["caller"], line.get("model", "")) for line in lines()) == {
        (f"link:{link['slug']}", "m"): 2,
        (f"link:{counted['slug']}", "m"): 2,
        (f"link:{counted['slug']}", ""): 2,
    }
