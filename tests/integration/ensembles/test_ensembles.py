"""Ensembles of real models in real processes, in every protocol: equal to numpy's own combination."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import pytest

from prism_oip.rpc import oip_pb2 as pb
from tests.integration.ensembles.conftest import MEMBERS, NAMES, ROWS, X


def labels_of(probabilities):
    return NAMES[np.argmax(probabilities, axis=1)].tolist()


@pytest.fixture
def mean(trained, lead):
    """Let all four answer together; return the mean of their probabilities."""
    lead()
    return np.mean(trained.probabilities(ROWS), axis=0)


def test_the_mean_in_prisms_own_json(mean, ask):
    response = ask()
    answer = response.json()

    assert np.array(answer["probabilities"]) == pytest.approx(mean, abs=1e-6)
    assert (answer["predictions"], answer["classes"]) == (labels_of(mean), NAMES.tolist())
    assert (answer["model"], answer["version"]) == ("line", 1)
    assert response.headers["x-prism-members-used"] == ",".join(MEMBERS)
    assert response.headers["x-prism-model-version"] == "1"


def test_the_mean_of_the_first_version_of_the_protocol(mean, server):
    body = {"instances": ROWS.tolist()}
    answer = httpx.post(f"{server.url}/v1/models/line:predict", json=body, timeout=30)

    assert answer.json() == {"predictions": labels_of(mean)}


def v2(outputs=(), **fields):
    tensor = {"name": "input", "datatype": "FP64", "shape": list(ROWS.shape), **fields}
    return {"id": "mine", "inputs": [tensor], **({"outputs": outputs} if outputs else {})}


def test_the_mean_in_v2_json(mean, server):
    body = v2(data=ROWS.ravel().tolist())
    answer = httpx.post(f"{server.url}/v2/models/line/infer", json=body, timeout=30).json()
    found = {one["name"]: one["data"] for one in answer["outputs"]}

    assert (answer["id"], answer["model_name"], found["predictions"]) == ("mine", "line", labels_of(mean))
    assert np.array(found["probabilities"]).reshape(mean.shape) == pytest.approx(mean, abs=1e-6)


def test_the_mean_in_v2_binary(mean, server):
    import orjson

    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = orjson.dumps(v2(wanted, parameters={"binary_data_size": ROWS.nbytes}))
    size = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    url = f"{server.url}/v2/models/line/infer"
    answer = httpx.post(url, content=head + ROWS.tobytes(), headers=size, timeout=30)
    at = int(answer.headers["inference-header-content-length"])
    said = orjson.loads(answer.content[:at])

    assert (said["id"], [one["name"] for one in said["outputs"]]) == ("mine", ["probabilities"])
    found = np.frombuffer(answer.content[at:], np.float64).reshape(mean.shape)
    assert found == pytest.approx(mean, abs=1e-6)


def test_the_mean_by_grpc_says_who_answered(mean, server):
    request = pb.ModelInferRequest(model_name="line", id="mine")
    tensor = request.inputs.add(name="input", datatype="FP64", shape=ROWS.shape)
    tensor.contents.fp64_contents.extend(ROWS.ravel())
    with grpc.insecure_channel(server.facts["grpc"].partition("://")[2]) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        answer, state = call.with_call(request, timeout=20)
    found = dict(zip([one.name for one in answer.outputs], answer.outputs, strict=True))

    assert (answer.id, answer.model_name) == ("mine", "line")
    assert [one.decode() for one in found["predictions"].contents.bytes_contents] == labels_of(mean)
    values = np.array(found["probabilities"].contents.fp64_contents).reshape(mean.shape)
    assert values == pytest.approx(mean, abs=1e-6)
    assert dict(state.trailing_metadata())["x-prism-members-used"] == ",".join(MEMBERS)


def test_csv_in_and_out(mean, server):
    rows = "\n".join(",".join(map(repr, row)) for row in ROWS.tolist())
    headers = {"Content-Type": "text/csv;header=false", "Accept": "text/csv"}
    answer = httpx.post(f"{server.url}/model/line/predict", content=rows, headers=headers, timeout=30)
    head, *lines = answer.text.splitlines()

    assert head == "predictions,probabilities_ash,probabilities_beech,probabilities_oak"
    assert [line.partition(",")[0] for line in lines] == labels_of(mean)


def test_a_large_request_is_combined_beside_the_small_ones(mean, trained, ask):
    many = np.tile(X, (60, 1))

    assert ask(many).json()["predictions"] == labels_of(np.mean(trained.probabilities(many), axis=0))


def test_the_same_question_again_is_answered_from_what_was_kept(mean, ask):
    keep = {"Cache-Control": "max-age=0"}
    first, second = ask(**keep), ask(**keep)

    assert second.headers["x-prism-cache"] == "hit"
    assert first.content == second.content


def test_weights(trained, lead, ask):
    lead({"model": "line", "weight": 3}, {"model": "bayes", "weight": 1}, combine="weighted")
    line, _, bayes, _ = trained.probabilities(ROWS)

    found = np.array(ask().json()["probabilities"])
    assert found == pytest.approx(np.average([line, bayes], axis=0, weights=[3, 1]))


def test_votes_and_the_surest(trained, lead, ask):
    each = trained.probabilities(X)
    lead(combine="vote")
    voted = ask(X).json()
    lead(combine="max_probability")
    surest = ask(X).json()["predictions"]

    counts = np.stack([np.sum([p.argmax(axis=1) == at for p in each], axis=0) for at in range(3)])
    assert voted["predictions"] == NAMES[counts.argmax(axis=0)].tolist()
    assert voted["agreement"] == (counts.max(axis=0) / 4).tolist()
    # Where two are equally sure of different classes the first one wins.
    best = np.max(each, axis=0)
    assert surest == NAMES[(best >= best.max(axis=1, keepdims=True) - 1e-9).argmax(axis=1)].tolist()


def test_a_quorum_and_its_fallback(trained, lead, ask):
    each = np.array([p.argmax(axis=1) for p in trained.probabilities(X)])
    agreed = (each == each[0]).all(axis=0)
    one, other = X[agreed][:1], X[~agreed][:1]
    lead(combine="quorum", need=4)
    answers = [ask(rows) for rows in (one, other)]
    lead(combine="quorum", need=4, fallback=[{"model": "bayes"}])
    fallback = ask(other)

    assert answers[0].json()["predictions"] == [NAMES[each[0][agreed][0]]]
    assert (answers[1].status_code, answers[1].json()["code"]) == (500, "no_quorum")
    assert (fallback.json()["model"], fallback.headers["x-prism-fallback"]) == ("bayes", "no_quorum")


def test_stacking_is_what_the_meta_model_says(trained, lead, ask):
    lead(*MEMBERS[:3], combine="stacking", stack={"model": "meta"})
    response = ask(X)
    answer = response.json()

    assert answer["predictions"] == trained.meta.predict(trained.columns(X)).tolist()
    expected = trained.meta.predict_proba(trained.columns(X))
    assert np.array(answer["probabilities"]) == pytest.approx(expected)
    assert answer["model"] == "meta"
    assert response.headers["x-prism-members-used"] == ",".join(MEMBERS[:3])


@pytest.mark.parametrize(
    ("ensemble", "why"),
    [
        ({"combine": "stacking", "stack": {"model": "meta"}}, "12 columns"),
        ({"need": 9}, "need is 9"),
    ],
)
def test_what_cannot_be_combined_is_refused_when_the_route_is_set(lead, ensemble, why):
    assert why in lead(status=422, **ensemble).text


def test_a_member_that_is_late_is_left_out(trained, lead, ask, admin):
    lead(deadline_ms=300, need=2)
    sleeping = admin.replica_of("bayes")
    sleeping.suspend()
    try:
        began = time.monotonic()
        late = ask()
        took_s = time.monotonic() - began
    finally:
        sleeping.resume()
    line, forest, _, trees = trained.probabilities(ROWS)

    assert late.headers["x-prism-members-used"] == "line/1,forest/1,trees/1"
    found = np.array(late.json()["probabilities"])
    assert found == pytest.approx(np.mean([line, forest, trees], axis=0), abs=1e-6)
    assert took_s < 10


def test_too_few_in_time_are_a_failure_that_says_who(lead, ask, admin):
    lead(*MEMBERS[:2], deadline_ms=200, need=2)
    sleeping = admin.replica_of("forest")
    sleeping.suspend()
    try:
        failed = ask().json()
    finally:
        sleeping.resume()

    assert (failed["code"], failed["details"]["failed"]) == (
        "too_few_members",
        {"forest/1": "deadline_exceeded"},
    )


def test_whoever_dies_nobody_is_left_without_an_answer(trained, lead, ask, admin):
    """A killed member is asked again where it comes back, by its own lane; meanwhile another one combines."""
    lead(deadline_ms=2000)
    used = set()
    for model in ("line", "forest", "trees"):
        admin.replica_of(model).kill()
        response = ask()
        assert response.status_code == 200, response.text
        used |= set(response.headers["x-prism-members-used"].split(","))

    assert used == set(MEMBERS)


def test_its_pages_tell_what_the_ensemble_answers(lead, server):
    lead(combine="vote")
    native = httpx.get(f"{server.url}/model/line").json()
    v2_told = httpx.get(f"{server.url}/v2/models/line").json()
    alone = httpx.get(f"{server.url}/model/line@latest").json()

    assert native["members"] == list(MEMBERS)
    assert [one["name"] for one in native["signature"]["outputs"]] == ["predictions", "agreement"]
    assert [one["name"] for one in v2_told["outputs"]] == ["predictions", "agreement"]
    assert (alone["members"], alone["signature"]["outputs"][1]["name"]) == ([], "probabilities")


@pytest.mark.sweep
def test_not_one_of_many_requests_fails_while_members_are_killed(lead, admin, server):
    """Each is killed twice, one after the other, while four clients ask without pause."""
    lead(deadline_ms=1000)
    over, told = threading.Event(), []

    def client() -> None:
        with httpx.Client(base_url=server.url, timeout=30, headers={"Cache-Control": "no-store"}) as http:
            while not over.is_set():
                rows = X[len(told) % len(X)][None].tolist()
                told.append(http.post("/model/line/predict", json={"input": rows}).status_code)

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        try:
            for model in ("line", "forest", "bayes", "trees") * 2:
                admin.replica_of(model).kill()
                until = len(told) + 20
                while len(told) < until and not any(one.done() for one in clients):
                    time.sleep(0.01)
        finally:
            over.set()
        for one in clients:
            one.result()

    assert set(told) == {200}
