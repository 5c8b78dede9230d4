"""What answers say; each is also a message of the protocol."""

from __future__ import annotations

import attrs
import pytest
from google.protobuf import json_format

from prism_core.plugin import Executions, Served, ServingError, Signature, Statistics, TensorSpec
from prism_oip import told
from prism_oip.rpc import oip_pb2 as pb

MATRIX = Signature(
    (TensorSpec("input", "FP32", (-1, 4)),),
    (TensorSpec("label", "BYTES", (-1,)), TensorSpec("probability", "FP64", (-1, 3))),
)
COLUMNS = Signature(
    (TensorSpec("age", "FP64", (-1,)), TensorSpec("town", "BYTES", (-1, 1))),
    (TensorSpec("predictions", "INT64", (-1,)),),
    columnar=True,
)
IRIS = Served("iris", 3, "READY", loader="sklearn", signature=MATRIX, max_batch_rows=256)


def as_message(value, message):
    """Return what gRPC says of ``value``, which it must know every key of."""
    return json_format.ParseDict(value, message)


def test_the_server():
    value = told.server("1.2", told.PUBLIC)

    assert value["name"] == "prism"
    assert as_message(value, pb.ServerMetadataResponse()).extensions == list(told.PUBLIC)


def test_only_whoever_can_load_and_unload_has_a_repository():
    assert "model_repository" not in told.PUBLIC
    assert {"model_repository", "model_repository(unload_dependents)"} <= set(told.OWNERS) & set(told.RPC)


def test_metadata_of_a_matrix():
    value = told.metadata(IRIS, (3, 1))

    assert value == {
        "name": "iris",
        "versions": ["1", "3"],
        "platform": "sklearn",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probability", "datatype": "FP64", "shape": [-1, 3]},
        ],
    }
    assert as_message(value, pb.ModelMetadataResponse()).inputs[0].shape == [-1, 4]


def test_an_output_that_is_not_computed_unasked_says_so():
    signature = attrs.evolve(IRIS.signature, default_outputs=("label",))

    outputs = told.metadata(attrs.evolve(IRIS, signature=signature), (3,))["outputs"]

    assert [one.get("parameters") for one in outputs] == [None, {"on_request": True}]


def test_a_model_of_columns_has_a_tensor_for_each():
    value = told.metadata(attrs.evolve(IRIS, signature=COLUMNS), (3,))

    assert value["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "town", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert [one["dims"] for one in told.config(attrs.evolve(IRIS, signature=COLUMNS))["input"]] == [[1], [1]]


def test_where_requests_are_never_joined_an_input_has_no_axis_more():
    value = told.metadata(attrs.evolve(IRIS, signature=COLUMNS, max_batch_rows=0), (3,))

    assert value["inputs"][0]["shape"] == [-1]


@pytest.mark.parametrize("ask", [lambda served: told.metadata(served, (3,)), told.config])
def test_what_has_never_been_ready_has_no_tensors_yet(ask):
    starting = Served("iris", 3, "STARTING", "Try again when it is ready.")

    with pytest.raises(ServingError, match="iris/3 are not known") as error:
        ask(starting)

    assert error.value.hint == "Try again when it is ready."


def test_a_configuration_leaves_the_axis_of_rows_to_max_batch_size():
    value = told.config(IRIS)

    assert (value["max_batch_size"], value["dynamic_batching"]) == (256, {})
    assert value["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [4]}]
    assert value["output"][0] == {"name": "label", "data_type": "TYPE_STRING", "dims": []}
    message = as_message({"config": value}, pb.ModelConfigResponse()).config
    assert (message.max_batch_size, message.input[0].data_type) == (256, pb.TYPE_FP32)


def test_where_requests_are_never_joined_shapes_are_whole():
    value = told.config(attrs.evolve(IRIS, max_batch_rows=0))

    assert (value["max_batch_size"], value["input"][0]["dims"]) == (0, [-1, 4])
    assert "dynamic_batching" not in value


@pytest.mark.parametrize(("cached", "expected"), [(True, {"enable": True}), (False, None)])
def test_a_configuration_says_whether_answers_are_kept(cached, expected):
    value = told.config(attrs.evolve(IRIS, cached=cached))

    assert value.get("response_cache") == expected
    message = as_message({"config": value}, pb.ModelConfigResponse()).config
    assert message.response_cache.enable is cached


@pytest.mark.parametrize(
    "datatype",
    [
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
    ],
)
def test_every_datatype_has_one_of_the_configuration(datatype):
    signature = Signature((TensorSpec("x", datatype, (-1,)),), (TensorSpec("y", datatype, (-1,)),))
    value = told.config(attrs.evolve(IRIS, signature=signature))

    message = as_message(value, pb.ModelConfig())

    assert pb.DataType.Name(message.input[0].data_type) == f"TYPE_{datatype}"


@pytest.mark.parametrize(
    ("state", "state_told"),
    [
        ("READY", "READY"),
        ("STORED", "LOADING"),
        ("STARTING", "LOADING"),
        ("DRAINING", "UNLOADING"),
        ("STOPPED", "UNAVAILABLE"),
        ("FAILED", "UNAVAILABLE"),
    ],
)
def test_the_index_has_the_protocols_states(state, state_told):
    (found,) = told.index([Served("iris", 3, state, "Why.")])

    assert found == {"name": "iris", "version": "3", "state": state_told, "reason": "Why."}


def test_the_index_of_what_is_ready():
    served = [IRIS, Served("iris", 2, "STOPPED"), Served("churn", 1, "FAILED")]

    assert [one["version"] for one in told.index(served, ready=True)] == ["3"]
    assert len(as_message({"models": told.index(served)}, pb.RepositoryIndexResponse()).models) == 3


def test_statistics():
    found = Statistics(
        "iris",
        3,
        succeeded=10,
        succeeded_s=2.0,
        failed=1,
        failed_s=0.5,
        rows=40,
        executions=3,
        computed=8,
        queue_s=0.25,
        compute_s=0.75,
        hits=2,
        hits_s=0.001,
        misses=4,
        batches={16: Executions(2, 0.5), 8: Executions(1, 0.125)},
        last=1700000000.1234,
    )

    value = told.statistics([found])

    (one,) = value["model_stats"]
    inference, batches = one.pop("inference_stats"), one.pop("batch_stats")
    assert one == {
        "name": "iris",
        "version": "3",
        "last_inference": 1700000000123,
        "inference_count": 40,
        "execution_count": 3,
    }
    assert inference == {
        "success": {"count": 10, "ns": 2_000_000_000},
        "fail": {"count": 1, "ns": 500_000_000},
        "queue": {"count": 8, "ns": 250_000_000},
        "compute_input": {"count": 8, "ns": 0},
        "compute_infer": {"count": 8, "ns": 750_000_000},
        "compute_output": {"count": 8, "ns": 0},
        "cache_hit": {"count": 2, "ns": 1_000_000},
        "cache_miss": {"count": 4, "ns": 0},
    }
    assert [(b["batch_size"], b["compute_infer"]) for b in batches] == [
        (8, {"count": 1, "ns": 125_000_000}),
        (16, {"count": 2, "ns": 500_000_000}),
    ]
    message = as_message(told.statistics([found]), pb.ModelStatisticsResponse()).model_stats[0]
    assert message.inference_stats.success.ns == 2_000_000_000
