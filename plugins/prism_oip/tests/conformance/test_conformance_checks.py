"""Each check holds with a server that keeps its clause, and fails with one that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.prism_oip.tests.conformance.honest import MODEL, Honest, as_json, subject
from prism_oip.conformance.discovery import advertised, described, known_models, prepared
from prism_oip.conformance.exchange import Answer, Request
from prism_oip.conformance.judging import HEADER
from prism_oip.conformance.report import lines
from prism_oip.conformance.running import FAILS, HOLDS, NOT_OFFERED, UNTRIED, Patience, drive, judged, run
from prism_oip.conformance.subject import Model, asking
from prism_oip.conformance.table import TABLE
from prism_oip.conformance.tensors import Spec

REST = {one.name: one for one in TABLE if not one.rpc}
Fault = Callable[[Request, Answer], Answer]


def at(end: str, change: Callable[[Answer], Answer]) -> Fault:
    """Return a fault of one path."""
    return lambda request, answer: change(answer) if request.path.endswith(end) else answer


def status(code: int) -> Callable[[Answer], Answer]:
    return lambda answer: attrs.evolve(answer, status=code)


def body(**fields) -> Callable[[Answer], Answer]:
    """Change fields of a JSON answer; None takes one away."""

    def change(answer: Answer) -> Answer:
        told = {**json.loads(answer.body), **fields}
        return as_json({k: v for k, v in told.items() if v is not None}, answer.status)

    return change


def text(answer: Answer) -> Answer:
    return attrs.evolve(answer, headers={"content-type": "text/plain"})


def lenient(request: Request, answer: Answer) -> Answer:
    """Refuse nothing."""
    return as_json({"model_name": "twice", "outputs": []}) if answer.status >= 400 else answer


def page(request: Request, answer: Answer) -> Answer:
    """Refuse with a page of HTML."""
    html = Answer(answer.status, {"content-type": "text/html"}, b"<html><h1>Oops</h1></html>")
    return html if answer.status >= 400 else answer


def outputs(change: Callable[[list], list]) -> Fault:
    """Return a fault in the outputs of an answer, all in JSON."""

    def of(request: Request, answer: Answer) -> Answer:
        if not request.path.endswith("infer") or answer.status != 200 or HEADER in answer.headers:
            return answer
        told = json.loads(answer.body)
        return as_json({**told, "outputs": change(told["outputs"])})

    return of


def when(asked: bytes, change: Callable[[Answer], Answer]) -> Fault:
    """Return a fault where a request holds some text."""
    return lambda request, answer: change(answer) if asked in request.body else answer


def headed(change: Callable[[Request, Answer], Answer]) -> Fault:
    """Return a fault of requests with raw tensors."""
    return lambda request, answer: change(request, answer) if HEADER in request.headers else answer


def as_text(answer: Answer) -> Answer:
    """Say all in JSON, where bytes were wanted."""
    return Honest()(
        Request("POST", "v2/models/twice/infer", {}, json.dumps(asking(subject().inputs)).encode())
    )


def unheaded(answer: Answer) -> Answer:
    return attrs.evolve(answer, headers={k: v for k, v in answer.headers.items() if k != HEADER})


def never(answer: Answer) -> Answer:
    return as_json({"error": "no"}, 400)


class Counting:
    """A server of which every answer is another."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, told: list) -> list:
        self.count += 1
        return [{**told[0], "data": [float(self.count)] * 3}, *told[1:]]


GROWN = outputs(lambda told: [{**told[0], "data": [*told[0]["data"], 1.0]}, *told[1:]])
WIDE = outputs(lambda told: [{**told[0], "shape": [3, 1]}, *told[1:]])
EXTRA = outputs(lambda told: [*told, {**told[0], "name": "z"}])

# A check, and what breaks the clause.
FAULTS: dict[str, Fault] = {
    "server.live": at("live", status(503)),
    "server.ready": at("v2/health/ready", status(400)),
    "server.metadata": at("v2", body(extensions="none")),
    "server.media-type": at("v2", text),
    "server.live-body": at("live", body(live="yes")),
    "server.unknown-path": page,
    "model.metadata": at("twice", body(platform=None)),
    "model.tensors": at("twice", body(inputs=[{"name": "x", "datatype": "FLOAT", "shape": [1]}])),
    "model.versions": at("versions/1", never),
    "model.ready": at("ready", never),
    "model.ready-body": at("ready", body(ready=1)),
    "model.unknown": lenient,
    "model.unknown-ready": page,
    "model.unknown-version": lenient,
    "model.unknown-404": at("kit", status(400)),
    "infer.flat": GROWN,
    "infer.nested": when(b'"data": [[', never),
    "infer.model-name": at("infer", body(model_name="other")),
    "infer.model-version": at("infer", body(model_version="7")),
    "infer.version": at("infer", body(model_version="1")),
    "infer.id": at("infer", body(id=None)),
    "infer.signature": WIDE,
    "infer.all-outputs": outputs(lambda told: told[:1]),
    "infer.output": EXTRA,
    "infer.empty-parameters": when(b'"parameters": {}', never),
    "infer.parameters": when(b"kit_parameter", never),
    "infer.known-parameters": when(b"kit_flag", never),
    "infer.sizes": when(b'"shape": [2, 3]', never),
    "infer.repeated": outputs(Counting()),
    "infer.media-type": at("infer", text),
    "infer.unknown-model": lenient,
    "infer.unknown-version": page,
    "infer.method": lenient,
    **{f"errors.{name}": lenient for name in (
        "malformed", "no-inputs", "missing-input", "no-data", "size", "shape", "width", "datatype",
        "other-datatype", "elements", "input-name", "output-name",
    )},
    "errors.client-status": lambda _, answer: status(500)(answer) if answer.status == 400 else answer,
    "errors.alive": at("live", status(500)),
    "binary.inputs": headed(lambda _, answer: never(answer)),
    "binary.outputs": when(b"binary_data_output", as_text),
    "binary.header": lambda _, answer: unheaded(answer),
    "binary.one-output": when(b'"binary_data": true', as_text),
    "binary.override": lambda request, answer: everything(request) if b"false" in request.body else answer,
    "binary.named-outputs": when(b"binary_data_output", as_text),
    "binary.mixed": lambda request, answer: never(answer) if b"[0.5" in request.body else answer,
    "binary.text": headed(lambda _, answer: attrs.evolve(answer, body=answer.body[:-1] + b"?")),
    "binary.raw-request": headed(lambda _, answer: never(answer)),
    "binary.size": lenient,
    "binary.lying-header": lenient,
    "binary.lying-text": lenient,
    "binary.alive": headed(lambda _, answer: never(answer)),
    "compression.gzip-request": lambda request, answer: no_packing(request, answer, "gzip"),
    "compression.deflate-request": lambda request, answer: no_packing(request, answer, "deflate"),
    "compression.packed-answer": at("infer", as_text),
    "compression.right-answer": lambda _, answer: attrs.evolve(answer, body=answer.body[:9]),
    "compression.unknown-encoding": lenient,
    "statistics.model": at("stats", body(model_stats=[])),
    "statistics.version": at("stats", body(model_stats=[])),
    "statistics.all": at("stats", body(model_stats=[])),
    "statistics.counted": at("stats", lambda _: as_json(Honest().stats(("1",)))),
    "statistics.unknown": lenient,
    "configuration.model": at("config", body(max_batch_size=None)),
    "configuration.tensors": at("config", body(input=[{"name": "x", "data_type": "FP32"}])),
    "configuration.version": at("versions/2/config", never),
    "configuration.unknown": page,
    "repository.index": at("index", lambda _: as_json([])),
    "repository.ready": lambda request, answer: Honest()(attrs.evolve(request, body=b"{}")),
    "repository.unknown": lenient,
    "repository.reload": lambda request, answer: Honest()(request),  # it says so, and does nothing
}  # fmt: skip


def everything(request: Request) -> Answer:
    """Answer in bytes, whatever was wanted."""
    told = {**json.loads(request.body), "outputs": None}
    return Honest()(attrs.evolve(request, body=json.dumps(told).encode()))


def no_packing(request: Request, answer: Answer, encoding: str) -> Answer:
    return never(answer) if request.headers.get("Content-Encoding") == encoding else answer


# Checks of what needs a model of one input.
ONE = Model("twice", ("1", "2"), (Spec("x", "FP32", (-1, 3)),), (Spec("y", "FP32", (-1, 3)),))
WORDS = Model("twice", ("1", "2"), (Spec("x", "BYTES", (-1, 1)),), (Spec("y", "BYTES", (-1, 1)),))
MODELS = {"binary.raw-request": ONE, "binary.lying-text": WORDS}


def server_of(name: str) -> Honest:
    return Honest(MODELS.get(name, MODEL))


def test_each_check_has_a_fault():
    assert set(FAULTS) == set(REST)


@pytest.mark.parametrize("name", REST)
async def test_a_check_holds_with_an_honest_server(name):
    honest = server_of(name)

    async def ask(request: Request) -> Answer:
        return honest(request)

    outcome = await judged(REST[name], subject(honest.model), Patience(ask))

    assert (outcome.state, outcome.expected, outcome.found) == (HOLDS, "", "")


@pytest.mark.parametrize("name", REST)
async def test_a_check_fails_with_a_server_that_breaks_it(name):
    honest = server_of(name)

    async def ask(request: Request) -> Answer:
        return FAULTS[name](request, honest(request))

    outcome = await judged(REST[name], subject(honest.model), Patience(ask))

    assert outcome.state == FAILS
    assert outcome.expected
    assert outcome.found or outcome.exchange is not None


async def test_an_output_that_comes_on_request_only_may_be_missing():
    *usual, last = MODEL.outputs
    model = attrs.evolve(MODEL, outputs=(*usual, attrs.evolve(last, on_request=True)))

    async def ask(request: Request) -> Answer:
        return FAULTS["infer.all-outputs"](request, Honest()(request))

    assert (await judged(REST["infer.all-outputs"], subject(model), Patience(ask))).state == HOLDS


async def test_what_is_not_advertised_is_not_asked():
    async def ask(request: Request) -> Answer:
        raise AssertionError("nothing is to be asked")

    outcome = await judged(REST["statistics.all"], subject(extensions=frozenset()), Patience(ask))

    assert outcome.state == NOT_OFFERED


async def test_models_are_loaded_and_unloaded_only_where_that_is_allowed():
    async def ask(request: Request) -> Answer:
        raise AssertionError("nothing is to be asked")

    outcome = await judged(REST["repository.reload"], subject(write=False), Patience(ask))

    assert outcome.state == UNTRIED


JUNK = (
    None,
    True,
    -1,
    2**70,
    1.5,
    float("nan"),
    "",
    "text",
    [],
    [[]],
    [None],
    {},
    {"name": 1},
    "FP32",
    "BYTES",
    10**400,
)


def damaged(random: Random, value: object) -> object:
    """Return what JSON says with one part of it replaced, lost or doubled, anywhere."""
    inner = isinstance(value, dict | list) and value and random.random() < 0.8
    if not inner:
        return random.choice(JUNK)
    if isinstance(value, dict):
        name = random.choice(sorted(value))
        lost = {key: one for key, one in value.items() if key != name}
        return lost if random.random() < 0.2 else {**value, name: damaged(random, value[name])}
    at = random.randrange(len(value))
    return value * 2 if random.random() < 0.2 else [*value[:at], damaged(random, value[at]), *value[at + 1 :]]


def spoilt(random: Random, answer: Answer) -> Answer:
    """Return an answer with something wrong in it: its status, a header, its JSON or its bytes."""
    if random.random() < 0.1:
        return attrs.evolve(answer, status=random.choice([200, 302, 400, 500]))
    if random.random() < 0.1:
        name = random.choice([HEADER, "content-encoding", "content-type"])
        return attrs.evolve(
            answer, headers={**answer.headers, name: random.choice(["0", "7", "-1", "gzip", "x"])}
        )
    try:
        return attrs.evolve(answer, body=json.dumps(damaged(random, json.loads(answer.body))).encode())
    except ValueError:  # it is packed, has raw tensors behind it, or none of JSON
        cut = random.randrange(len(answer.body) + 1)
        return attrs.evolve(answer, body=answer.body[:cut] + random.randbytes(random.randrange(3)))


@settings(max_examples=12, deadline=None)
@given(st.randoms(use_true_random=False))
async def test_whatever_a_server_answers_is_judged(random):
    """No answer makes a check, or the look for models, fail otherwise than by its judgement."""
    honest = Honest()

    async def ask(request: Request) -> Answer:
        answer = honest(request)
        return spoilt(random, answer) if random.random() < 0.7 else answer

    await drive(advertised(), ask, [])
    await drive(known_models(), ask, [])
    model = await drive(described("twice"), ask, [])
    found = await drive(prepared(attrs.evolve(subject(), model=model)), ask, [])
    outcomes = await run(REST.values(), [found, subject()], ask, None, lambda _: None)

    assert {one.state for one in outcomes} <= {HOLDS, FAILS, UNTRIED}
    assert list(lines(outcomes))
