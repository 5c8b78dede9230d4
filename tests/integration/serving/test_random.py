"""A model that draws random numbers is neither kept nor coalesced."""

from __future__ import annotations


def test_a_random_model_answers_anew(make_server, models, predict):
    url = make_server().upload(models / "random.pkl")["url"]
    answers = [predict(url, [[1, 2]] * 20) for _ in range(5)]

    assert {answer.headers["x-prism-cache"] for answer in answers} == {"bypass"}
    assert len({answer.text for answer in answers}) > 1
