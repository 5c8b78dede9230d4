"""A key with a rate, and one with a quota, at a real server."""

from __future__ import annotations

import time

import pytest

from tests.integration.callers.conftest import bearer, predict, predict_slowly

WAYS = pytest.mark.parametrize("ask", [predict, predict_slowly])


def told(answer):
    names = ("ratelimit-policy", "ratelimit")
    return [value for name in names for value in answer.headers.get_list(name, split_commas=True)]


@WAYS
def test_a_key_may_ask_as_often_as_its_rate_says(client, make_key, ask):
    _, key = make_key("m", rate="2/2s")
    answers = [ask(client, key) for _ in range(3)]
    other = make_key("m")[1]
    meanwhile = ask(client, other).status_code
    time.sleep(int(answers[2].headers["retry-after"]))

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert told(answers[0]) == ['"key";q=2;w=2', '"key";r=1;t=1']
    assert answers[2].json()["details"]["limit"] == "key"
    assert meanwhile == 200
    assert ask(client, key).status_code == 200


@WAYS
def test_a_key_has_its_quota_and_no_more(server, client, make_key, ask):
    key_id, key = make_key("m", quota=2)
    pages = [client.get("/model/m", headers=bearer(key)).status_code for _ in range(3)]
    answers = [ask(client, key) for _ in range(4)]
    (listed,) = (one for one in server.json("keys", "list") if one["id"] == key_id)

    assert pages == [200, 200, 200]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert [told(answer) for answer in answers[:3]] == [
        ['"quota";q=2', f'"quota";r={left}'] for left in (1, 0, 0)
    ]
    assert answers[2].json()["code"] == "quota_exceeded"
    assert answers[2].json()["details"] == {"limit": "quota", "quota": 2, "used": 2}
    assert "retry-after" not in answers[2].headers
    assert (listed["used"], listed["quota"]) == (2, 2)


def test_what_a_key_may_not_do_is_not_counted_to_its_quota(client, make_key):
    """A wrong input is: it was let in."""
    _, key = make_key("m", quota=3)
    predict(client, key, model="other")
    wrong = client.post("/model/m/predict", json={"input": [["x"]]}, headers=bearer(key))

    assert wrong.status_code == 422
    assert told(predict(client, key)) == ['"quota";q=3', '"quota";r=1']
