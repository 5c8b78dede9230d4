"""Labels that come later, with real processes: what was answered is judged, and a bandit learns from it."""

from __future__ import annotations

import time
from collections import Counter

import httpx
import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from prism_core.testing.server import ServerProcess

SPLIT = [{"version": 1, "weight": 50}, {"version": 2, "weight": 50}]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models: ``1.pkl`` always says 0, ``2.pkl`` always 1."""
    directory = tmp_path_factory.mktemp("models")
    x = np.zeros((4, 1))
    for version in (1, 2):
        model = DummyClassifier(strategy="constant", constant=version - 1).fit(x, [0, 1, 0, 1])
        joblib.dump(model, directory / f"{version}.pkl")
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    """A server of two gateways with two versions of ``m``."""
    with ServerProcess(tmp_path_factory.mktemp("two") / "data", "--gateways", "2") as server:
        for version in (1, 2):
            server.upload(models / f"{version}.pkl", "--name", "m")
        yield server


def lead(server, **route):
    """Let ``m`` go by a route."""
    return admin(server, "PUT", "/models/m/route", json={"split": SPLIT, **route})


def admin(server, method, path, **options):
    """Ask the admin API."""
    token = (server.data_dir / "admin-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.request(method, f"{server.facts['admin']}/admin/v1{path}", headers=headers, **options)
    return answer.raise_for_status().json()


def ask(server, number, **headers):
    """Send requests, each by a connection of its own, to whichever gateway; return ids and versions."""
    answers = []
    for _ in range(number):
        body = {"input": [[0.0]]}
        response = httpx.post(f"{server.url}/model/m/predict", json=body, headers=headers).raise_for_status()
        answers.append((response.headers["x-request-id"], response.json()["version"]))
    return answers


def feed(server, items):
    """Send feedback; return what came of it."""
    return httpx.post(f"{server.url}/v1/feedback", json=items).raise_for_status().json()


def test_labels(server):
    """Each answer is judged, whichever gateway gave it: what one of them remembers is known to all."""
    lead(server, feedback={})
    answers = ask(server, 40)

    told = feed(server, [{"request_id": one, "label": 1} for one, _ in answers])
    assert told == {"judged": 40, "repeated": 0, "refused": 0, "errors": []}
    again = feed(server, [{"request_id": one, "label": 1} for one, _ in answers[:3]])
    assert again["repeated"] == 3
    other = feed(server, [{"request_id": answers[0][0], "label": 0}, {"request_id": "nobodys", "label": 0}])
    assert [error["code"] for error in other["errors"]] == ["answer_judged", "answer_not_found"]
    assert {version for _, version in answers} == {1, 2}


def test_bandit(server):
    """Labels move the traffic to the version that is right."""
    lead(server, bandit={"memory": 1000})
    for _ in range(6):
        feed(server, [{"request_id": one, "label": 1} for one, _ in ask(server, 20)])
    shares = arms(server, lambda found: found["m/2"]["share_percent"] > 95)

    assert shares["m/1"]["mean_reward"] == 0
    assert shares["m/2"]["mean_reward"] == 1
    versions = Counter(version for _, version in ask(server, 40))
    assert versions[2] > 30


def arms(server, enough):
    """Return what is known of the arms, as soon as that is ``enough``."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = {one["arm"]: one for one in admin(server, "GET", "/models/m/route")["bandit"]}
        if enough(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def pulls(found):
    """Return how many rewards came."""
    return sum(one["pulls"] for one in found.values())


def test_restart(server):
    """What is remembered, and what was learned, outlives the server."""
    lead(server, bandit={"memory": 1000})
    known = pulls(arms(server, bool))
    feed(server, [{"request_id": one, "label": 1} for one, _ in ask(server, 10)])
    before = arms(server, lambda found: pulls(found) == known + 10)
    answers = ask(server, 10)
    server.stop()
    server.start()

    assert arms(server, bool) == before
    told = feed(server, [{"request_id": one, "correct": True} for one, _ in answers])
    assert told["judged"] == 10, told
