"""NVIDIA's client: many at once, streams, giving up, errors, and what it asks of a server."""

from pathlib import Path

import numpy as np
import pytest

import prism_core
from prism_core.types import NUMPY_TYPES
from tests.peers.clients.tensors import packed, unpacked
from tests.peers.peers import Client

WAYS = ("http", "http-aio", "grpc", "grpc-aio")


@pytest.fixture(scope="module")
def triton():
    with Client("tritonclient", Path(__file__).parent / "clients" / "triton.py") as client:
        yield client


@pytest.fixture
def ask(triton, echoes):
    """Call a method of a client; what it returns, as JSON."""

    def ask(way, method, *arguments, url="", **options):
        if way.startswith("grpc") and method.startswith("get_"):
            options["as_json"] = True
        facts = {"way": way, "url": url or echoes.url(way), "method": method, "arguments": arguments}
        return triton.ask(**facts, **options)

    return ask


def row(*numbers, dtype=np.float32):
    return [packed("x", np.array([numbers], dtype))]


def firsts(answers):
    """Return the first number of each answer."""
    return [unpacked(answer["outputs"]["y"]).flat[0] for answer in answers]


def counted(ask, model):
    """Return the statistics of a model."""
    (found,) = ask("http", "get_inference_statistics", model)["model_stats"]
    return found


# --- many at once ---------------------------------------------------------------------------


ALL = [row(number, 0.0) for number in range(40)]


def test_greenlets_share_a_client(triton, echoes):
    answers = triton.greenlets(url=echoes.url("http"), model="fp32", requests=ALL, concurrency=8)

    assert firsts(answers) == list(range(40))


@pytest.mark.parametrize("how", ["threads", "callbacks"])
def test_threads_share_a_connection(triton, echoes, how):
    answers = getattr(triton, how)(url=echoes.url("grpc"), model="fp32", requests=ALL)

    assert firsts(answers) == list(range(40))


@pytest.mark.parametrize("way", ["http-aio", "grpc-aio"])
def test_tasks_share_a_client(triton, echoes, way):
    answers = triton.tasks(way=way, url=echoes.url(way), model="fp32", requests=ALL)

    assert firsts(answers) == list(range(40))


# --- streams --------------------------------------------------------------------------------


def test_a_stream_answers_all_and_goes_on_after_an_error(triton, echoes):
    requests = [["fp32", f"id-{n}", row(n, 0.0)] for n in range(20)]
    requests[7] = ["nobody", "id-7", row(7.0)]
    requests[11] = ["fp32", "id-11", row(7.0, dtype=np.float64) + row(8.0)]

    answers = triton.stream(url=echoes.url("grpc"), requests=requests)

    assert len(answers) == 20
    good = {answer["id"]: answer for answer in answers if "error" not in answer}
    assert firsts(good[f"id-{n}"] for n in range(20) if n not in (7, 11)) == [
        n for n in range(20) if n not in (7, 11)
    ]
    unknown = [answer["error"] for answer in answers if "nobody" in answer.get("error", "")]
    assert len(unknown) == 1


def test_a_stream_of_asyncio_is_the_same(triton, echoes):
    requests = [["fp32", "a", row(1.0)], ["nobody", "b", row(2.0)], ["fp32", "c", row(3.0)]]

    answers = triton.stream_aio(url=echoes.url("grpc"), requests=requests)

    assert [answer.get("id") for answer in answers] == ["a", None, "c"]
    assert "nobody" in answers[1]["error"]


def test_a_stream_may_be_cancelled(triton, echoes):
    requests = [["fp32", "a", row(1.0)], ["slow", "b", row(1.0, dtype=np.float64)]]

    answers = triton.stream(url=echoes.url("grpc"), requests=requests, cancel_after=1)

    assert answers[0]["id"] == "a"
    assert answers[1]["status"] == "StatusCode.CANCELLED"


# --- giving up ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("cancel", "StatusCode.CANCELLED"),
        ("deadline", "StatusCode.DEADLINE_EXCEEDED"),
        ("hang up", "timeout"),
    ],
)
def test_what_nobody_waits_for_is_not_computed(triton, echoes, how, status):
    """Were it computed, the last of the three would be answered a minute later: other shapes never meet."""
    urls = {way: echoes.url(way) for way in ("http", "grpc")}
    busy, forever, after = ([packed("x", np.full((1, n), s))] for n, s in ((1, 1.5), (2, 90.0), (3, 0.0)))

    left = triton.give_up(how=how, urls=urls, model="slow", busy=busy, inputs=forever)

    assert left["status"] == status
    assert triton.infer(way="grpc", url=urls["grpc"], model="slow", inputs=after)["outputs"]


# --- errors ---------------------------------------------------------------------------------


FAULTS = {
    "no such model": ("nobody", row(1.0), {}, "404", "NOT_FOUND", "nobody"),
    "no such version": ("fp32", row(1.0), {"model_version": "9"}, "404", "NOT_FOUND", "9"),
    "no such number": ("int8", row(0.5), {}, "422", "INVALID_ARGUMENT", "got 0.5."),
    "an axis more": ("fp32", [packed("x", np.ones((1, 1, 1), "f4"))], {}, "422", "INVALID_ARGUMENT", "'x'"),
    "no such input": ("fp32", [row(1.0)[0] | {"name": "z"}], {}, "422", "INVALID_ARGUMENT", "'z'"),
    "the model fails": ("slow", row(-1.0, dtype=np.float64), {}, "500", "INTERNAL", "error_id"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_has_our_message_by_every_way(triton, echoes, fault):
    model, inputs, options, status, code, words = FAULTS[fault]

    said = {
        way: triton.infer(way=way, url=echoes.url(way), model=model, inputs=inputs, **options) for way in WAYS
    }

    assert {way: one["status"] for way, one in said.items()} == {
        "http": status,
        "http-aio": status,
        "grpc": f"StatusCode.{code}",
        "grpc-aio": f"StatusCode.{code}",
    }
    assert all(words in one["error"] for one in said.values()), said


# --- what it asks of a server ---------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_health(ask, way):
    assert ask(way, "is_server_live") is True
    assert ask(way, "is_server_ready") is True
    assert ask(way, "is_model_ready", "fp32") is True
    assert ask(way, "is_model_ready", "fp32", "1") is True
    assert ask(way, "is_model_ready", "nobody") is False


@pytest.mark.parametrize("way", WAYS)
def test_what_a_server_and_a_model_are(ask, way):
    server = ask(way, "get_server_metadata")
    model = ask(way, "get_model_metadata", "fp32")

    assert (server["name"], server["version"]) == ("prism", prism_core.__version__)
    assert {"statistics", "model_configuration", "parameters"} <= set(server["extensions"])
    assert (model["name"], model["versions"], model["platform"]) == ("fp32", ["1"], "echo")
    tensors = [(one["name"], one["datatype"], list(map(int, one["shape"]))) for one in model["inputs"]]
    assert tensors == [("x", "FP32", [-1, -1])]
    assert [one["name"] for one in model["outputs"]] == ["y", "places"]


@pytest.mark.parametrize("way", WAYS)
def test_a_model_has_a_configuration(ask, way):
    config = ask(way, "get_model_config", "bytes")
    config = config.get("config", config)

    (x,) = config["input"]
    assert (config["name"], config["backend"]) == ("bytes", "echo")
    assert (x["name"], x["data_type"], list(map(int, x["dims"]))) == ("x", "TYPE_STRING", [-1])
    assert config["max_batch_size"] > 0


@pytest.mark.parametrize("way", WAYS)
def test_calls_are_counted(ask, triton, echoes, way):
    def count():
        (found,) = ask(way, "get_inference_statistics", "int8")["model_stats"]
        stats = found["inference_stats"]
        numbers = (found.get("inference_count", 0), found.get("execution_count", 0))
        return [*map(int, numbers), *(int(stats[one].get("count", 0)) for one in ("success", "fail"))]

    before = count()
    place = WAYS.index(way)  # an answer that is kept would not be computed again
    for rows in ([[place, 2]], [[place, 4], [5, 6]]):
        inputs = [packed("x", np.array(rows, np.int8))]
        assert "outputs" in triton.infer(way=way, url=echoes.url(way), model="int8", inputs=inputs)
    triton.infer(way=way, url=echoes.url(way), model="int8", inputs=row(0.5))

    assert [after - first for after, first in zip(count(), before, strict=True)] == [3, 2, 2, 1]
    named = ask(way, "get_inference_statistics")["model_stats"]
    assert {"int8", "slow"} <= {one["name"] for one in named}


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_is_kept_unless_its_client_says_no(ask, triton, echoes, way):
    def computed(**options):
        before = int(counted(ask, "int16").get("execution_count", 0))
        inputs = [packed("x", np.array([[WAYS.index(way)]], np.int16))]
        facts = {"way": way, "url": echoes.url(way), "model": "int16", "inputs": inputs}
        assert "outputs" in triton.infer(**facts, **options)
        return int(counted(ask, "int16")["execution_count"]) - before

    assert [computed(), computed(), computed(headers={"cache-control": "no-store"})] == [1, 0, 1]
    config = ask(way, "get_model_config", "int16")
    assert config.get("config", config)["response_cache"]["enable"] is True


@pytest.mark.parametrize("way", WAYS)
def test_the_index_has_all_models(ask, way):
    found = ask(way, "get_model_repository_index")
    found = found["models"] if isinstance(found, dict) else found

    assert {"name": "fp32", "version": "1", "state": "READY"}.items() <= found_of(found, "fp32").items()
    assert {one["name"] for one in found} == {name.lower() for name in NUMPY_TYPES} | {"slow"}


def found_of(models, name):
    return next(one for one in models if one["name"] == name)


@pytest.mark.parametrize("way", WAYS)
def test_the_owner_unloads_a_model_and_loads_it_again(ask, triton, echoes, way):
    where = {"url": echoes.url(way) if way.startswith("grpc") else echoes.admin, "headers": echoes.token}
    inputs = [packed("x", np.array([[7]], np.uint8))]

    ask(way, "unload_model", "uint8", **where)
    ready = ask(way, "is_model_ready", "uint8")
    refused = triton.infer(way=way, url=echoes.url(way), model="uint8", inputs=inputs)
    ask(way, "load_model", "uint8", **where)

    assert ready is False
    assert "uint8" in refused["error"]
    assert ask(way, "is_model_ready", "uint8") is True
    assert "outputs" in triton.infer(way=way, url=echoes.url(way), model="uint8", inputs=inputs)


@pytest.mark.parametrize(
    ("way", "status"),
    [("http", "404"), ("http-aio", "404"), ("grpc", "PERMISSION_DENIED"), ("grpc-aio", "PERMISSION_DENIED")],
)
@pytest.mark.parametrize("method", ["load_model", "unload_model"])
def test_nobody_else_does(ask, way, status, method):
    """On the public listener there is no such route; gRPC has one listener, and asks for the token."""
    refused = ask(way, method, "fp32")

    assert refused["status"].removeprefix("StatusCode.") == status
    assert ask(way, "is_model_ready", "fp32") is True


def test_the_admin_listener_asks_for_its_token(ask, echoes):
    assert ask("http", "unload_model", "fp32", url=echoes.admin)["status"] == "401"
