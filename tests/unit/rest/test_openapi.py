"""The OpenAPI document: valid, complete, typed per model, and never out of date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from prism_core.rest.asgi import litestar_app
from prism_core.rest.feedback import feedback_route
from prism_core.rest.openapi import Described, document, request_schema, response_schema, value_schema
from prism_core.rest.public import public_routes
from prism_core.types import NUMPY_TYPES, Signature, TensorSpec

URL = "http://prism.test"
COLUMNAR = Signature(
    inputs=(
        TensorSpec("tenure", "INT64", (-1,)),
        TensorSpec("plan", "BYTES", (-1,), nullable=True, categories=("basic", "plus")),
    ),
    outputs=(TensorSpec("predictions", "INT64", (-1,)), TensorSpec("probabilities", "FP64", (-1, 2))),
    default_outputs=("predictions",),
    columnar=True,
    classes=(0, 1),
)
MATRIX = Signature((TensorSpec("X", "FP64", (-1, 2)),), (TensorSpec("predictions", "INT64", (-1,)),))
TWO = Signature(
    (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT8", (-1,))), (TensorSpec("sum", "FP32", (-1,)),)
)


RANGED = Signature(
    (TensorSpec("X", "FP64", (-1, 2), columns=("a", "b"), ranges=((4.3, 7.9), None)),),
    (TensorSpec("predictions", "INT64", (-1,)),),
)


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Judge as JSON Schema does, with the words that the document uses."""
    if "anyOf" in schema:
        return any(accepts(one, value) for one in schema["anyOf"])
    types = schema.get("type", [])
    if types and not any(_is(kind, value) for kind in ([types] if isinstance(types, str) else types)):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        unknown = value.keys() - known.keys()
        return (
            set(schema.get("required", ())) <= value.keys()
            and (schema.get("additionalProperties", True) or not unknown)
            and all(accepts(known[key], one) for key, one in value.items() if key in known)
        )
    if isinstance(value, list):
        items = schema.get("prefixItems", [schema.get("items", {})] * len(value))
        return (
            schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
            and schema.get("const", value) == value
            and all(accepts(one, item) for one, item in zip(items, value, strict=False))
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def _is(kind: str, value: Any) -> bool:
    return {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "null": value is None,
    }[kind]


@pytest.mark.parametrize(
    ("signature", "body", "good"),
    [
        (COLUMNAR, {"input": [{"tenure": 3, "plan": "basic"}]}, True),
        (COLUMNAR, {"input": {"tenure": 3, "plan": None}}, True),
        (COLUMNAR, {"input": [[3, "other"]], "outputs": ["probabilities"]}, True),
        (COLUMNAR, {"inputs": {"tenure": [3, 4], "plan": ["basic", None]}}, True),
        (COLUMNAR, {"input": [{"tenure": 3}]}, False),
        (COLUMNAR, {"input": [{"tenure": 3, "plan": "basic", "age": 1}]}, False),
        (COLUMNAR, {"input": [{"tenure": 1.5, "plan": "basic"}]}, False),
        (COLUMNAR, {"input": [{"tenure": None, "plan": "basic"}]}, False),
        (COLUMNAR, {"input": [["basic", 3]]}, False),
        (COLUMNAR, {"rows": []}, False),
        (MATRIX, {"input": [[1, 2.5], [3, 4]]}, True),
        (MATRIX, {"input": [1, 2.5]}, True),
        (MATRIX, {"inputs": {"X": [[1, 2]]}}, True),
        (MATRIX, {"input": [[1, 2, 3]]}, False),
        (MATRIX, {"input": [["1", 2]]}, False),
        (TWO, {"inputs": {"a": [[1, 2]], "b": [127]}}, True),
        (TWO, {"inputs": {"a": [[1, 2]], "b": [128]}}, False),
        (TWO, {"inputs": {"a": [[1, 2]]}}, False),
        (TWO, {"input": [[1, 2]]}, False),
    ],
)
def test_a_request_schema_takes_what_the_model_takes(signature, body, good):
    assert accepts(request_schema(signature), body) is good


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ({"model": "m", "version": 1, "predictions": [0, 1]}, True),
        (
            {"model": "m", "version": 1, "predictions": [0], "probabilities": [[1, None]], "classes": [0, 1]},
            True,
        ),
        ({"model": "m", "version": 1, "probabilities": [[0.5, 0.5]], "warnings": ["NaN"]}, True),
        ({"model": "m", "version": 1, "predictions": ["0"]}, False),
        ({"model": "m", "version": 1, "probabilities": [[0.1, 0.2, 0.7]]}, False),
        ({"model": "m", "version": 1, "classes": [1, 0]}, False),
        ({"predictions": [0]}, False),
    ],
)
def test_a_response_schema_takes_what_the_model_answers(answer, good):
    assert accepts(response_schema(COLUMNAR), answer) is good


@pytest.mark.parametrize("datatype", NUMPY_TYPES)
def test_every_datatype_has_a_schema(datatype):
    assert value_schema(TensorSpec("x", datatype, (-1,)))["type"]


def test_the_example_fits_the_schema():
    made = document([Described("m", 1, COLUMNAR)], URL)
    content = made["paths"]["/model/m/predict"]["post"]["requestBody"]["content"]["application/json"]

    assert accepts(made["components"]["schemas"]["m.Request"], content["example"])


def test_every_reference_leads_somewhere():
    made = document([Described("m", 1, COLUMNAR), Described("n", 2, TWO)], URL)

    for reference in references(made):
        found: Any = made
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_document_has_the_routes_that_the_server_has(gateway):
    """Names of parameters apart, which are each side's own."""
    served = {
        (re.sub(r"\{\w+(:\w+)?\}", "{}", route.path), method.lower())
        for route in litestar_app([*public_routes(gateway), feedback_route(gateway)]).routes
        for method in route.methods
        if method != "OPTIONS"
    }
    # KServe's verb is a suffix of the last segment, which Litestar's route does not say.
    served = served - {("/v1/models/{}", "post")} | {("/v1/models/{}:predict", "post")}
    told = {
        (re.sub(r"\{\w+\}", "{}", path), method)
        for path, operations in document([], URL)["paths"].items()
        for method in operations
    }

    assert told == served


async def test_the_document_follows_the_models(public, gateway, with_model):
    before = (await public.get("/openapi.json")).json()
    with_model("new")
    with_model("young", signature=None)
    after = (await public.get("/openapi.json")).json()

    assert set(after["paths"]) - set(before["paths"]) == {"/model/new/predict"}
    assert {"new.Request", "new.Response"} <= after["components"]["schemas"].keys()
    assert after["servers"] == [{"url": gateway.public_url}]


def test_a_plausible_range_is_told_and_refuses_nothing():
    record, row = request_schema(RANGED)["anyOf"][0]["properties"]["input"]["anyOf"][1:]
    told = {"type": "number", "examples": [6.1], "x-prism-range": [4.3, 7.9]}

    assert record["properties"] == {"a": told, "b": {"type": "number"}}
    assert row["prefixItems"] == [told, {"type": "number"}]
    assert accepts(request_schema(RANGED), {"input": [{"a": -1e6, "b": 0}]})


def test_one_range_for_all_values_is_told_of_each():
    spec = TensorSpec("X", "FP64", (-1, 2), ranges=((0.0, 16.0),))

    assert value_schema(spec, 1)["x-prism-range"] == [0.0, 16.0]
