"""The OpenAPI document, with a typed schema for every model, made from its signature.

Written by hand: routes that the server has are a table, and the schema of a model's rows
is not something that Python annotations could say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import attrs

from prism_core import __version__
from prism_core.errors import PrismError, all_errors
from prism_core.gateway.traffic.verdicts import MAX_ITEMS
from prism_core.rest.describe import example, middle
from prism_core.rest.entrance import FEEDBACK, OPEN
from prism_core.types import Signature, TensorSpec

Schema = dict[str, Any]

_FLOAT: Schema = {"type": "number"}
_SCHEMAS: dict[str, Schema] = {
    "BOOL": {"type": "boolean"},
    **{
        f"INT{bits}": {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}
        for bits in (8, 16, 32, 64)
    },
    **{f"UINT{bits}": {"type": "integer", "minimum": 0, "maximum": 2**bits - 1} for bits in (8, 16, 32, 64)},
    "FP16": _FLOAT,
    "FP32": _FLOAT,
    "FP64": _FLOAT,
    "BYTES": {"type": "string"},
}


@attrs.frozen
class Described:
    """A model as the document shows it: its name, and the signature of the version that answers."""

    name: str
    version: int
    signature: Signature


def document(models: Iterable[Described], url: str, *, keyed: bool = False) -> Schema:
    """Return the OpenAPI document of a server at ``url`` that serves ``models``.

    ``keyed``: it asks callers for a key or a token.
    """
    paths: Schema = {path: _look(path) for path in _LOOKS} | {path: _predict_any(path) for path in _PREDICTS}
    paths[FEEDBACK] = _feedback()
    shared = problem_components()
    schemas: Schema = shared["schemas"]
    for model in models:
        paths[f"/model/{model.name}/predict"] = _predict(model)
        schemas[f"{model.name}.Request"] = request_schema(model.signature)
        schemas[f"{model.name}.Response"] = response_schema(model.signature)
    components: Schema = {"schemas": schemas, "responses": {"Problem": _problem_response()}}
    if keyed:
        components["securitySchemes"] = _SECURITY
        for path in OPEN & paths.keys():
            paths[path]["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {"title": "PRISM", "version": __version__, "description": "Models that answer over HTTP."},
        "servers": [{"url": url}],
        "paths": paths,
        "components": components,
        **({"security": [{name: []} for name in _SECURITY]} if keyed else {}),
    }


_SECURITY: Schema = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


# --- values and rows --------------------------------------------------------------------


def value_schema(spec: TensorSpec, place: int = 0) -> Schema:
    """Return the schema of one value of a tensor, at ``place`` of its last axis.

    Categories are examples and a range is a note, not a minimum and a maximum: the model decides on others.
    """
    schema = dict(_SCHEMAS[spec.datatype])
    if spec.nullable:
        schema["type"] = [schema["type"], "null"]
    if spec.categories:
        schema["examples"] = list(spec.categories)
    known = spec.range_of(place)
    if known:
        schema |= {"examples": [middle(spec, *known)], "x-prism-range": list(known)}
    return schema


def array_schema(value: Schema, shape: tuple[int, ...]) -> Schema:
    """Return the schema of nested arrays of ``shape``, -1 being any length."""
    for length in reversed(shape):
        value = {"type": "array", "items": value}
        if length >= 0:
            value |= {"minItems": length, "maxItems": length}
    return value


def _record(values: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": values, "required": list(values), "additionalProperties": False}


def _row_schemas(signature: Signature) -> list[Schema]:
    """Return the forms of one row: a record where columns have names, an array in order."""
    if signature.columnar:
        return [_record({spec.name: value_schema(spec) for spec in signature.inputs}), _mixed_row(signature)]
    (spec,) = signature.inputs
    row = _row(spec, spec.shape[1:])
    named = {name: value_schema(spec, place) for place, name in enumerate(spec.columns)}
    return [_record(named), row] if named else [row]


def _row(spec: TensorSpec, shape: tuple[int, ...]) -> Schema:
    """Return the schema of nested arrays of ``shape``, value by value where their ranges differ."""
    if len(spec.ranges) < 2:
        return array_schema(value_schema(spec), shape)
    values = [value_schema(spec, place) for place in range(len(spec.ranges))]
    return array_schema(_mixed(values), shape[:-1])


def _mixed_row(signature: Signature) -> Schema:
    return _mixed([value_schema(spec) for spec in signature.inputs])


def _mixed(values: list[Schema]) -> Schema:
    return {"type": "array", "prefixItems": values, "minItems": len(values), "maxItems": len(values)}


def request_schema(signature: Signature) -> Schema:
    """Return the schema of a JSON request: rows under ``input``, or tensors by name under ``inputs``.

    The forms that a client will want are told; the server takes more (see the reference).
    """
    tensors = {spec.name: _rows(spec) for spec in signature.inputs}
    by_name = _body("inputs", _record(tensors), signature)
    if not signature.batch_axis or not (signature.columnar or len(signature.inputs) == 1):
        return by_name
    rows = _row_schemas(signature)
    several: Schema = {"type": "array", "items": _any_of(rows), "minItems": 1}
    return _any_of([_body("input", _any_of([several, *rows]), signature), by_name])


def _rows(spec: TensorSpec) -> Schema:
    """Return the schema of a whole tensor; a request without rows is refused."""
    schema = _row(spec, spec.shape)
    return schema | {"minItems": 1} if spec.shape[:1] == (-1,) else schema


def _body(key: str, schema: Schema, signature: Signature) -> Schema:
    names = {"type": "string", "enum": [spec.name for spec in signature.outputs]}
    outputs = {"type": ["array", "null"], "items": names, "description": "The outputs to compute."}
    parameters = {"type": ["object", "null"], "description": "For models that take any."}
    ignored: Schema = {"signature_name": {}, "id": {}}
    properties = {key: schema, "outputs": outputs, "parameters": parameters, **ignored}
    return {"type": "object", "properties": properties, "required": [key], "additionalProperties": False}


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def response_schema(signature: Signature) -> Schema:
    """Return the schema of a JSON answer; NaN and infinite numbers are null in it."""
    outputs = {
        spec.name: array_schema(value_schema(attrs.evolve(spec, nullable=True)), spec.shape)
        for spec in signature.outputs
    }
    predictions = outputs.pop(signature.predictions)
    properties: Schema = {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "predictions": predictions,
        **outputs,
    }
    if signature.classes:
        properties["classes"] = {"type": "array", "const": list(signature.classes)}
    properties["warnings"] = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": ["model", "version"]}


# --- routes -----------------------------------------------------------------------------

# Statuses with which any route may refuse: what is wrong with the request itself, who asks, how
# often, and what is wrong with us.
ANYWHERE = (400, 401, 403, 404, 405, 408, 414, 429, 431, 500, 503)
# Those of a prediction, and of a change to the models, beside.
OF_PREDICTING = (406, 410, 413, 415, 422, 502, 504, 507)
OF_MANAGING = (409, 413, 415, 422, 502, 504, 507)

# path -> summary, media type of the answer
_LOOKS: dict[str, tuple[str, str]] = {
    "/model/{model}": ("Describe a model: versions, aliases, signature, an example", "application/json"),
    "/model/{model}/versions/{version}": ("Describe one version of a model", "application/json"),
    "/v1/models": ("Name the models", "application/json"),
    "/v1/models/{model}": ("Tell whether a model answers", "application/json"),
    "/v1/models/{model}/metadata": ("Tell a model's tensors", "application/json"),
    "/v1/models/status": ("Tell which models answer", "application/json"),
    "/v1/health": ("Tell how the server is", "application/json"),
    "/health/live": ("Answer while the process lives", "application/json"),
    "/health/ready": ("Answer 200 while requests are welcome", "application/json"),
    "/openapi.json": ("This document", "application/json"),
}
# Paths that predict for any model; those of the models that answer now have a schema of their own.
_PREDICTS: dict[str, str] = {
    "/model/{model}/predict": "Predict with a model, or with an alias as name@alias",
    "/model/{model}/versions/{version}/predict": "Predict with one version",
    "/v1/models/{model}/predict": "Predict with a model",
    "/v1/models/{model}:predict": "Predict in the words of the KServe V1 protocol",
}


# Those that are a page for who accepts HTML, whose form is sent to the same path.
_PAGES = ("/model/{model}", "/model/{model}/versions/{version}")
_FORM: Schema = {"application/x-www-form-urlencoded": {}, "multipart/form-data": {}}


def _look(path: str) -> Schema:
    summary, media_type = _LOOKS[path]
    content: Schema = {media_type: {}}
    if path in _PAGES:
        content["text/html"] = {}
    responses = {"200": {"description": "The answer.", "content": content}, **refusals()}
    look: Schema = {"get": {"summary": summary, "parameters": _parameters(path), "responses": responses}}
    return look | {"post": _form(path)} if path in _PAGES else look


def _form(path: str) -> Schema:
    page = {"200": {"description": "The page, with the answer.", "content": {"text/html": {}}}}
    return {
        "summary": "Answer the form of the page; for browsers",
        "parameters": _parameters(path),
        "requestBody": {"content": _FORM, "required": True},
        "responses": page | refusals(*OF_PREDICTING),
    }


def _predict_any(path: str) -> Schema:
    body = {"content": {"application/json": {}}, "required": True}
    answer = {"200": {"description": "The answer.", "content": {"application/json": {}}}}
    responses = {**answer, **refusals(*OF_PREDICTING)}
    operation = {"summary": _PREDICTS[path], "parameters": _parameters(path), "requestBody": body}
    return {"post": operation | {"responses": responses}}


def _predict(model: Described) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{model.name}.Request"}}
    sample = example(model.signature)
    if sample is not None:
        content["example"] = sample
    answer = {"schema": {"$ref": f"#/components/schemas/{model.name}.Response"}}
    return {
        "post": {
            "operationId": f"predict_{model.name}",
            "summary": f"Predict with {model.name}, version {model.version}",
            "parameters": [_outputs(model.signature)],
            "requestBody": {"content": {"application/json": content}, "required": True},
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": answer}},
                **refusals(*OF_PREDICTING),
            },
        }
    }


def _outputs(signature: Signature) -> Schema:
    names = {"type": "string", "enum": [spec.name for spec in signature.outputs]}
    return {
        "name": "outputs",
        "in": "query",
        "description": f"The outputs to compute, by default {', '.join(signature.computed)}.",
        "schema": {"type": "array", "items": names},
        "explode": False,
    }


def _parameters(path: str) -> list[Schema]:
    names = re.findall(r"\{(\w+)\}", path)
    kinds = {"version": {"type": "integer", "minimum": 1}}
    texts = {"version": "A version of it.", "model": "A model's name, or name@alias."}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": texts[name],
            "schema": kinds.get(name, {"type": "string"}),
        }
        for name in names
    ]


_COUNT: Schema = {"type": "integer", "minimum": 0}
_LABEL: Schema = {"type": ["boolean", "number", "string", "array"]}
_WORTH: Schema = {
    "label": {**_LABEL, "description": "What would have been right."},
    "labels": {"type": "array", "items": _LABEL, "minItems": 1, "description": "The same for each row."},
    "reward": {"type": "number", "minimum": 0, "maximum": 1},
    "correct": {"type": "boolean"},
}
_ITEM: Schema = {
    "type": "object",
    "properties": {
        "request_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "description": "The X-Request-Id of the answer.",
        },
        "model": {
            "type": "string",
            "maxLength": 200,
            "description": "Where the id was used for several models.",
        },
        **_WORTH,
    },
    "required": ["request_id"],
    "oneOf": [{"required": [name]} for name in _WORTH],
    "additionalProperties": False,
}


def _feedback() -> Schema:
    items = {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": MAX_ITEMS}
    several: Schema = {"anyOf": [_ITEM, items]}
    body = {"application/json": {"schema": several}, "application/x-ndjson": {}}
    counts = dict.fromkeys(("judged", "repeated", "refused"), _COUNT)
    told = {"type": "object", "properties": {**counts, "errors": {"type": "array"}}}
    answer = {"description": "What came of it.", "content": {"application/json": {"schema": told}}}
    return {
        "post": {
            "summary": "Say what answers were worth",
            "requestBody": {"content": body, "required": True},
            "responses": {"200": answer, **refusals(409, 413, 422)},
        }
    }


def refusals(*more: int) -> Schema:
    """Return the responses of a route that refuses: those of every route, and ``more`` statuses."""
    return {str(status): {"$ref": "#/components/responses/Problem"} for status in sorted({*ANYWHERE, *more})}


def problem_components() -> Schema:
    """Return the components that `refusals` refers to."""
    return {"schemas": {"Problem": _problem()}, "responses": {"Problem": _problem_response()}}


def _problem_response() -> Schema:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": "The request failed; code and hint say why and what to do.", "content": content}


def _problem() -> Schema:
    text = {"type": "string"}
    properties = {
        "type": text,
        "title": text,
        "status": {"type": "integer"},
        "code": {"type": "string", "examples": sorted(set(all_errors()) - {PrismError.code})},
        "detail": text,
        "hint": text,
        "details": {"type": "object"},
        "error_id": {"type": "string", "description": "Under this the server's log has the reason."},
    }
    required = [name for name in properties if name != "error_id"]
    return {"type": "object", "properties": properties, "required": required}
