"""More models than memory: a real server, real models, a budget for a third of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

MODELS = 9
ROOM_FOR = 3
REQUESTS = 200
CALLERS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Models, no two alike: name -> file, rows, the right answers."""
    directory = tmp_path_factory.mktemp("many")
    found = {}
    for number in range(MODELS):
        rng = np.random.default_rng(number)
        x = rng.normal(size=(60, 3 + number % 3))
        model = RandomForestClassifier(5, random_state=number) if number % 2 else LogisticRegression()
        model.fit(x, x @ rng.normal(size=x.shape[1]) > 0)
        path = directory / f"m{number}.pkl"
        joblib.dump(model, path)
        found[f"m{number}"] = (path, x[:10].tolist(), model.predict(x[:10]).tolist())
    return found


def ask(server, trained, asked):
    with httpx.Client(base_url=server.url, timeout=60, headers={"Cache-Control": "no-store"}) as client:
        for name, number in asked:
            _, rows, answers = trained[name]
            answer = client.post(f"/model/{name}/predict", json={"input": [rows[number]]})
            assert answer.status_code == 200, answer.text
            assert answer.json()["predictions"] == [answers[number]]
    return len(asked)


def test_no_request_fails_while_models_come_and_go(make_server, trained):
    server = make_server(name="size")
    server.upload(next(iter(trained.values()))[0])
    (size,) = [replica["memory_bytes"] for replica in server.json("show", "m0")["replicas"]]
    server = make_server(config=f"memory: {{hard_limit: {int(size * (ROOM_FOR + 0.5))}}}")
    for path, *_ in trained.values():
        server.upload(path)
    chance = random.Random(0)
    weights = [1 / rank for rank in range(1, MODELS + 1)]
    asked = [(name, chance.randrange(10)) for name in chance.choices(list(trained), weights, k=REQUESTS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        parts = list(pool.map(lambda n: ask(server, trained, asked[n::CALLERS]), range(CALLERS)))
    loaded = [model["model"] for model in server.json("list") if model["versions"][0]["loaded"]]

    assert sum(parts) == REQUESTS
    assert 1 <= len(loaded) <= ROOM_FOR + 1
    assert server.log.read_text().count('"model.unloaded"') > MODELS
    server.run("stop", "--all")
    assert [process.name() for process in server.processes()[1:] if "prism:" in process.name()] == []
