"""Fallbacks and circuits over a real server, in every protocol that it speaks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb
from tests.integration.traffic.admin import asked
from tests.integration.traffic.plugging import installed
from tests.integration.traffic.prism_moody import DIE, RAISE, SLEEP

CALM, MOODY = 1, 2
# The circuit of the moody version stays out of the way of tests that are not about it.
PATIENT = {"circuit": {"failures": 1000}}
ROUTE = {"split": [{"version": MOODY}], "fallback": [{"version": CALM}], **PATIENT}


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Path:
    """The file with which nothing fails."""
    return tmp_path_factory.mktemp("mood") / "calm"


@pytest.fixture(scope="module")
def server(tmp_path_factory, calm):
    directory = tmp_path_factory.mktemp("fallbacks")
    with installed(directory, "moody"):  # also for what a test starts
        # A model that looks for a file beside the server, and ends its process.
        flags = ("--plugins", "moody,oip", "--sandbox", "off", "--grpc-port", "0")
        with ServerProcess(directory / "data", *flags) as server:
            for version, factor in ((CALM, 1), (MOODY, -2)):
                artifact = directory / f"{version}.moody"
                artifact.write_text(f"{factor} {calm}")
                server.upload(artifact, "--name", "m")
            yield server


@pytest.fixture(autouse=True)
def in_a_mood(calm):
    calm.unlink(missing_ok=True)


def lead(server: ServerProcess, route: dict[str, Any]) -> dict[str, Any]:
    """Set the route; return what is shown of it."""
    return asked(server, "PUT", "/models/m/route", json=route)


def ask(server: ServerProcess, wish: float, **headers: str) -> httpx.Response:
    url = f"{server.url}/model/m/predict"
    return httpx.post(
        url, json={"input": [wish]}, headers={"cache-control": "no-store", **headers}, timeout=30
    )


def by_rest(server: ServerProcess, wish: float) -> tuple[list[float], str, str]:
    answer = ask(server, wish)
    told = answer.headers
    return answer.json()["predictions"], told["x-prism-model-version"], told.get("x-prism-fallback", "")


def by_v2(server: ServerProcess, wish: float) -> tuple[list[float], str, str]:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [wish]}]}
    answer = httpx.post(f"{server.url}/v2/models/m/infer", json=body, timeout=30)
    said = answer.json()
    return said["outputs"][0]["data"], said["model_version"], answer.headers.get("x-prism-fallback", "")


def by_grpc(server: ServerProcess, wish: float) -> tuple[list[float], str, str]:
    asked = pb.ModelInferRequest(model_name="m")
    tensor = asked.inputs.add(name="x", shape=[1], datatype="FP64")
    tensor.contents.fp64_contents.append(wish)
    with grpc.insecure_channel(server.facts["grpc"].partition("://")[2]) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer, call = method.with_call(asked.SerializeToString(), timeout=30)
        said = pb.ModelInferResponse.FromString(answer)
        values = (
            list(memoryview(said.raw_output_contents[0]).cast("d"))
            if said.raw_output_contents
            else [*said.outputs[0].contents.fp64_contents]
        )
        return values, said.model_version, dict(call.trailing_metadata()).get("x-prism-fallback", "")


@pytest.mark.parametrize("way", [by_rest, by_v2, by_grpc])
def test_every_protocol_gets_the_fallbacks_answer_and_why(server, way: Callable[..., Any]):
    lead(server, ROUTE)
    assert way(server, 4.0) == ([8.0], "2", "")
    assert way(server, RAISE) == ([RAISE], "1", "model_failed")


def test_a_version_that_takes_too_long_is_not_waited_for(server):
    lead(server, {**ROUTE, "timeout_ms": 50})
    assert by_rest(server, SLEEP) == ([SLEEP], "1", "deadline_exceeded")


def test_a_request_that_ends_a_replica_is_answered_by_the_next_version(server):
    lead(server, ROUTE)
    values, version, reason = by_rest(server, DIE)
    assert (values, version) == ([DIE], "1")
    assert reason in ("replica_lost", "still_loading")  # the latter while the last one is being replaced


def test_the_last_resort_is_a_value_for_whoever_takes_json(server):
    value = {"predictions": ["unknown"]}
    lead(server, {**ROUTE, "fallback": [{"value": value}]})
    answer = ask(server, RAISE)
    assert (answer.status_code, answer.json()) == (200, value)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-prism-model-version"] == "0"
    assert ask(server, RAISE, accept="text/csv").status_code == 500


def test_what_the_caller_did_wrong_goes_no_further(server):
    lead(server, ROUTE)
    answer = httpx.post(f"{server.url}/model/m/predict", json={"input": ["no number"]}, timeout=30)
    assert answer.status_code == 422
    assert "x-prism-fallback" not in answer.headers


def test_a_circuit_opens_leads_elsewhere_and_closes_again(server, calm):
    route = {**ROUTE, "circuit": {"failures": 2, "pause_s": 1.0, "longest_s": 1.0}}
    lead(server, route)
    by_rest(server, 4.0)  # failures before it was led so count, until something works
    reasons = [by_rest(server, RAISE)[2] for _ in range(2)]
    beside = by_rest(server, 4.0)
    shown = lead(server, route)["circuits"]
    calm.touch()
    ends = time.monotonic() + 20
    while by_rest(server, 4.0)[1] != "2":
        assert time.monotonic() < ends, "the circuit never closed"

    assert reasons == ["model_failed", "model_failed"]
    assert beside == ([4.0], "1", "circuit_open")
    assert shown["m/1"] == "closed"
    assert shown["m/2"] in ("open", "half_open")
    assert 'prism_circuit{arm="m/2",model="m",state="closed"} 1.0' in server.metrics()
    log = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    told = [line["event"] for line in log if line["event"].startswith("circuit.")]
    assert told == ["circuit.opened", "circuit.closed"]


def test_whoever_comes_by_a_link_stays_with_a_version(server):
    """Whatever address the request has: a route is told whose link it came by."""
    lead(server, {"split": [{"version": CALM}, {"version": MOODY}], "sticky": "key"})
    links = [asked(server, "POST", "/links", json={"model": "m"}) for _ in range(12)]
    versions = []
    for link in links:
        headers, url = {"authorization": f"Bearer {link['token']}"}, f"{server.url}/s/{link['slug']}/predict"
        answers = [httpx.post(url, json={"input": [value]}, headers=headers) for value in (1.0, 2.0, 3.0)]
        versions.append({answer.headers["x-prism-model-version"] for answer in answers})
    assert {len(seen) for seen in versions} == {1}
    assert set.union(*versions) == {"1", "2"}


def test_metrics_say_who_was_chosen_and_who_answered(server):
    lead(server, ROUTE)
    before = _routed(server)
    by_rest(server, RAISE)
    by_rest(server, 4.0)
    after = _routed(server)
    grown = {labels: count - before.get(labels, 0) for labels, count in after.items()}
    assert {labels: count for labels, count in grown.items() if count} == {
        'answered="m/1",arm="m/2",code="ok",model="m"': 1,
        'answered="m/2",arm="m/2",code="ok",model="m"': 1,
    }


def test_a_version_that_is_not_loaded_is_woken_and_somebody_else_answers(server, tmp_path):
    """After a restart of a server whose newest version is not loaded until somebody asks."""
    source = server.data_dir.parent
    with ServerProcess(tmp_path / "data", "--plugins", "moody", "--sandbox", "off") as other:
        other.upload(source / f"{CALM}.moody", "--name", "m")
        other.upload(source / f"{MOODY}.moody", "--name", "m", "--no-preload")
        lead(other, ROUTE)
    with ServerProcess(tmp_path / "data", "--plugins", "moody", "--sandbox", "off") as other:
        assert by_rest(other, 4.0) == ([4.0], "1", "still_loading")
        ends = time.monotonic() + 60
        while (said := by_rest(other, 4.0)) != ([8.0], "2", ""):
            assert said == ([4.0], "1", "still_loading")
            assert time.monotonic() < ends, "nobody loaded it"


def _routed(server: ServerProcess) -> dict[str, float]:
    found = {}
    for line in server.metrics().splitlines():
        if line.startswith("prism_routed_total{"):
            labels, _, count = line.removeprefix("prism_routed_total{").partition("} ")
            found[labels] = float(count)
    return found


def test_a_page_keeps_its_browser_with_a_version(server):
    """The form of a model's page says who asks, as a program's request does, and is given a cookie."""
    lead(server, {"split": [{"version": CALM}, {"version": MOODY}], "sticky": "cookie", **PATIENT})
    with httpx.Client(base_url=server.url, headers={"Accept": "text/html"}, timeout=30) as browser:
        answers = [
            browser.post("/model/m", data={"way": "json", "json": '{"input": [4.0]}'}) for _ in range(8)
        ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-prism-model-version"] for answer in answers}) == 1
    assert [("set-cookie" in answer.headers) for answer in answers] == [True, *[False] * 7]
