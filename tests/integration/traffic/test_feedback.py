"""Labels that come later, with real processes: what was answered is judged, and a bandit learns from it."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from urllib.parse import urlsplit

import grpc
import httpx
import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb
from tests.integration.traffic.admin import admin, asked

SPLIT = [{"version": 1, "weight": 50}, {"version": 2, "weight": 50}]
BODY = {"input": [[0.0]]}
# Each by a connection of its own, to whichever gateway; without the authorities, which take long to load.
post = partial(httpx.post, verify=False)


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
    """A server of two gateways with two versions of ``m``, which asks for keys and speaks gRPC."""
    flags = ("--gateways", "2", "--auth", "keys", "--grpc-port", "0")
    with ServerProcess(tmp_path_factory.mktemp("two") / "data", *flags) as server:
        for version in (1, 2):
            server.upload(models / f"{version}.pkl", "--name", "m")
        yield server


@pytest.fixture(scope="module")
def key(server):
    """A key for ``m``."""
    return make_key(server, "m")


def make_key(server, model, **wish):
    """Make a key; return what shows it."""
    body = {"models": [model], **wish}
    return bearer(asked(server, "POST", "/keys", json=body)["key"])


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def lead(server, **route):
    """Let ``m`` go by a route."""
    return admin(server, "m", "PUT", "/route", json={"split": SPLIT, **route})


def ask(server, key, number):
    """Send requests; return their ids, and which version answered."""
    answers = []
    for _ in range(number):
        response = post(f"{server.url}/model/m/predict", json=BODY, headers=key).raise_for_status()
        answers.append((response.headers["x-request-id"], response.json()["version"]))
    return answers


def feed(server, key, items, path="/v1/feedback"):
    """Send feedback; return the answer."""
    return post(f"{server.url}{path}", json=items, headers=key)


def labelled(answers, label=1):
    return [{"request_id": one, "label": label} for one, _ in answers]


def arms(server, enough):
    """Return what is known of the arms, as soon as that is ``enough``."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = {one["arm"]: one for one in admin(server, "m", "GET", "/route")["bandit"]}
        if enough(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def pulls(found):
    """Return how many rewards came."""
    return sum(one["pulls"] for one in found.values())


def test_labels(server, key):
    """Each answer is judged, whichever gateway gave it; the experiment knows how often each was right."""
    lead(server, experiment={"metrics": ["labels"]})
    answers = ask(server, key, 30)

    told = feed(server, key, labelled(answers)).json()
    assert told == {"judged": 30, "repeated": 0, "refused": 0, "errors": []}
    assert feed(server, key, labelled(answers[:3])).json()["repeated"] == 3
    other = feed(server, key, [{"request_id": answers[0][0], "label": 0}, {"request_id": "no", "label": 0}])
    assert [error["code"] for error in other.json()["errors"]] == ["answer_judged", "answer_not_found"]
    versions = Counter(version for _, version in answers)
    assert rights(server) == {"m/1": (versions[1], 0.0), "m/2": (versions[2], 1.0)}


def test_who_may_judge(server, key):
    """Who may predict with the model, and nobody hears whether there is something to judge."""
    lead(server, feedback={})
    ((request, _),) = ask(server, key, 1)
    item = {"request_id": request, "correct": True}
    reader = make_key(server, "m", scopes=["read"])
    stranger = make_key(server, "other")
    used_up = make_key(server, "m", quota=1)
    ask(server, used_up, 1)

    assert feed(server, {}, item).status_code == 401
    assert feed(server, reader, item).json()["code"] == "forbidden"
    assert feed(server, stranger, item).json()["code"] == "answer_not_found"
    assert feed(server, used_up, item).json()["judged"] == 1


def test_a_link_judges_what_it_has_answered(server, key):
    lead(server, feedback={})
    links = [asked(server, "POST", "/links", json={"model": "m", "uses": 1}) for _ in range(2)]
    own, other = ((f"/s/{link['slug']}", bearer(link["token"])) for link in links)
    request = post(f"{server.url}{own[0]}/predict", json=BODY, headers=own[1]).headers["x-request-id"]
    item = {"request_id": request, "reward": 0.5}

    assert feed(server, other[1], item, f"{other[0]}/feedback").json()["code"] == "answer_not_found"
    assert feed(server, {}, item, f"{own[0]}/feedback").status_code == 401
    assert feed(server, own[1], item, f"{own[0]}/feedback").json()["judged"] == 1


@pytest.mark.parametrize("raw", [False, True])
def test_v2(server, key, raw):
    """With an id that the client has chosen, in JSON and with raw tensors."""
    lead(server, feedback={})
    request = f"chosen-{raw}"
    tensor = {"name": input_name(server, key), "shape": [2, 1], "datatype": "FP64", "data": [0.0, 0.0]}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": raw}}
    headers = {**key, "X-Request-Id": request}
    answer = post(f"{server.url}/v2/models/m/infer", json=body, headers=headers).raise_for_status()
    right = int(answer.headers["x-prism-model-version"]) - 1

    told = feed(server, key, {"request_id": request, "labels": [right, 7]})
    assert told.json()["judged"] == 1, told.text
    assert feed(server, key, {"request_id": request, "reward": 0.5}).json()["repeated"] == 1


def test_grpc(server, key):
    """The id is in its metadata."""
    lead(server, feedback={})
    message = pb.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name=input_name(server, key), datatype="FP64", shape=[1, 1])
    tensor.contents.fp64_contents.append(0.0)
    with grpc.insecure_channel(urlsplit(server.facts["grpc"]).netloc) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        metadata = [("authorization", key["Authorization"]), ("x-request-id", "by-grpc")]
        answer = infer(message, metadata=metadata, timeout=60)

    label = int(answer.model_version) - 1
    assert feed(server, key, {"request_id": "by-grpc", "label": label}).json()["judged"] == 1
    assert feed(server, key, {"request_id": "by-grpc", "correct": True}).json()["repeated"] == 1


def test_bandit(server, key):
    """Labels move the traffic to the version that is right."""
    lead(server, bandit={"memory": 1000})
    for _ in range(4):
        feed(server, key, labelled(ask(server, key, 15)))
    found = arms(server, lambda found: found["m/2"]["share_percent"] > 95)

    assert (found["m/1"]["mean_reward"], found["m/2"]["mean_reward"]) == (0, 1)
    versions = Counter(version for _, version in ask(server, key, 40))
    assert versions[1] <= 3  # in both gateways: half of a half would be ten


@pytest.mark.sweep
def test_the_command_line(server, key, tmp_path):
    lead(server, bandit={})
    known = pulls(arms(server, bool))
    answers = ask(server, key, 3)
    lines = "".join(f"{request},{version - 1}\n" for request, version in answers)
    file = tmp_path / "labels.csv"
    file.write_text(f"request_id,label\n{lines}")
    done = server.run("feedback", str(file))
    file.write_text(f"request_id,label\n{lines}nobodys,1\n")
    again = server.run("feedback", str(file), check=False)

    arms(server, lambda found: pulls(found) == known + 3)
    assert "rewards, mean reward" in server.run("route", "m").stdout
    assert done.stdout == "3 items: 3 judged.\n"
    assert (again.returncode, again.stdout) == (1, "4 items: 3 repeated, 1 refused.\n")
    assert "4. No answer with the X-Request-Id 'nobodys'" in again.stderr


@pytest.mark.sweep
def test_restart(server, key):
    """What is remembered, and what was learned, outlives the server."""
    lead(server, bandit={"memory": 1000})
    known = pulls(arms(server, bool))
    feed(server, key, labelled(ask(server, key, 10)))
    before = arms(server, lambda found: pulls(found) == known + 10)
    answers = ask(server, key, 10)
    server.stop()
    server.start()

    assert arms(server, bool) == before
    told = feed(server, key, [{"request_id": one, "correct": True} for one, _ in answers]).json()
    assert told["judged"] == 10, told


def rights(server):
    """Return how many answers of each arm were judged, and what they were worth on the average."""
    (line,) = admin(server, "m", "GET", "/experiment")["lines"]
    return {"m/1": (line["control_n"], line["control_value"]), "m/2": (line["n"], line["value"])}


def input_name(server, key):
    """Return what the one input of ``m`` is called."""
    told = httpx.get(f"{server.url}/v1/models/m/metadata", headers=key).raise_for_status().json()
    return told["inputs"][0]["name"]
