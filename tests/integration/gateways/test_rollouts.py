"""Uploads, rollbacks and aliases while both gateways are asked without pause.

Not one request fails, and what was asked for after a change was reported done sees it,
whichever gateway answers.
"""

from __future__ import annotations

import time

import pytest

from tests.integration.gateways.conftest import factor, followers, predict, requests_counted, to_each
from tests.integration.gateways.load import load


@pytest.fixture
def server(make_server, models):
    server = make_server(config="limits: {drain_s: 5}")
    server.upload(models / "1.pkl", "--name", "m", "--alias", "champion")
    return server


def test_uploads_and_rollbacks(server, models):
    with load(server) as answers:
        answers.settle()
        for new in (2, 3, 4):
            server.upload(models / f"{new}.pkl", "--name", "m")
            done = time.monotonic()
            answers.settle()
            assert answers.since(done) == {new}
        server.run("rollback", "m")
        done = time.monotonic()
        answers.settle()
        assert answers.since(done) == {3}

    assert answers.failed == answers.broken == []


def test_an_alias_moves_back_and_forth(server, models):
    server.upload(models / "2.pkl", "--name", "m")
    with load(server, "m@champion") as answers:
        answers.settle()
        for version in (2, 1, 2):
            server.run("alias", "m", "champion", str(version))
            done = time.monotonic()
            answers.settle()
            assert answers.since(done) == {version}

    assert answers.failed == answers.broken == []


def test_what_is_in_flight_is_answered_before_a_version_is_stopped(server, models):
    """Asked by its alias, which moves; the version that it left is stopped at once."""
    with load(server) as answers:
        answers.settle()
        server.upload(models / "2.pkl", "--name", "m")
        server.run("alias", "m", "champion", "2")
        server.run("stop", "m", "--version", "1")
        done = time.monotonic()
        answers.settle()
        with to_each(server) as clients:
            told = [predict(client, reference="m/versions/1").json()["detail"] for client in clients.values()]

    assert answers.failed == answers.broken == []
    assert answers.since(done) == {2}
    assert set(told) == {"Version 1 of 'm' is STOPPED and takes no predictions."}


def test_a_stopped_version_comes_back_in_both(server):
    with to_each(server) as clients:
        server.run("stop", "m")
        refused = [predict(client).status_code for client in clients.values()]
        server.run("start", "m")

        assert refused == [404, 404]
        assert [factor(client) for client in clients.values()] == [1, 1]


def test_a_removed_model_is_gone_from_both(server):
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [1, 1]
        server.run("remove", "m", "--yes")

        told = [predict(client).json()["detail"] for client in clients.values()]
        pages = [client.get("/model/m").status_code for client in clients.values()]

    assert set(told) == {"There is no model 'm'."}
    assert pages == [404, 404]
    assert requests_counted(server) == {}


def test_an_answer_that_was_kept_is_not_given_for_another_version(server, models):
    with to_each(server) as clients:
        for client in clients.values():
            factor(client)
            assert predict(client).headers["x-prism-cache"] == "hit"
        server.upload(models / "2.pkl", "--name", "m")

        assert [factor(client) for client in clients.values()] == [2, 2]


def test_a_follower_that_hangs_holds_no_rollout_up_for_long(server, models):
    """It would go on with the old version: it is replaced."""
    (hung,) = followers(server)
    hung.suspend()

    server.upload(models / "2.pkl", "--name", "m")

    assert not hung.is_running()
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [2, 2]
