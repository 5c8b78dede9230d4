"""Keys at a real server: who may ask what, and how often."""

from __future__ import annotations

import httpx
import pytest

from .conftest import asked, error_of, owning

READS = ["/v2", "/v2/models/stats", "/v2/models/line", "/v2/models/line/ready", "/v2/models/line/stats"]


@pytest.fixture
def client(keyed):
    with httpx.Client(base_url=keyed.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def make_key(keyed):
    """Make a key; return the header that shows it."""
    with owning(keyed) as owner:

        def make(*models, **wish):
            made = owner.post("/admin/v1/keys", json={"models": models, **wish})
            assert made.status_code == 200, made.text
            return {"authorization": f"Bearer {made.json()['key']}"}

        yield make


def test_anybody_may_ask_how_it_is(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("path", [*READS, "/v2/nothing", "/v2/models/nope"])
def test_without_a_key_nothing_else_is_told(client, path):
    answer = client.get(path)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    error_of(answer)


def test_without_a_key_nothing_is_predicted(client):
    answer = client.post("/v2/models/line/infer", json=asked())

    assert answer.status_code == 401
    error_of(answer)


def test_a_key_for_one_model_shows_that_model(client, make_key):
    key = make_key("line")

    def names(answer):
        return {one["name"] for one in answer}

    assert [client.get(path, headers=key).status_code for path in READS] == [200] * len(READS)
    assert names(client.post("/v2/repository/index", headers=key).json()) == {"line"}
    assert names(client.get("/v2/models/stats", headers=key).json()["model_stats"]) == {"line"}
    assert client.post("/v2/models/line/infer", json=asked(), headers=key).status_code == 200


@pytest.mark.parametrize("path", ["", "/ready", "/config", "/stats"])
@pytest.mark.parametrize("model", ["other", "nope"])
def test_and_no_other_whether_there_is_one_or_not(client, make_key, model, path):
    key = make_key("line")
    looking = client.get(f"/v2/models/{model}{path}", headers=key)
    asking = client.post(f"/v2/models/{model}/infer", json=asked(), headers=key)

    assert (looking.status_code, asking.status_code) == (403, 403)
    assert error_of(looking)


def test_what_a_key_may_do(client, make_key):
    """The index is posted for, and reads all the same."""
    reading, predicting = make_key("line", scopes=["read"]), make_key("line", scopes=["predict"])

    def statuses(key):
        return (
            client.get("/v2/models/line", headers=key).status_code,
            client.post("/v2/repository/index", headers=key).status_code,
            client.post("/v2/models/line/infer", json=asked(), headers=key).status_code,
        )

    assert statuses(reading) == (200, 200, 403)
    assert statuses(predicting) == (200, 200, 200)


def test_more_often_than_a_key_may(client, make_key):
    key = make_key("line", rate="1/60s")
    answers = [client.post("/v2/models/line/infer", json=asked(), headers=key) for _ in range(4)]
    refused = answers[-1]

    assert answers[0].status_code == 200
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert refused.headers["ratelimit-policy"]
    error_of(refused)
