"""The OpenAPI document of the admin listener, read off its routes: there is no second list to keep.

Paths, methods and parameters are the handlers' own. What a handler answers stands beside its
path, see `told`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, PathParameter, QueryParameter
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from prism_core import __version__
from prism_core.rest.openapi import OF_MANAGING, Schema, problem_components, refusals

TOLD = "told"
REFERENCE = "#/components/schemas/{name}"
# The body of an upload is whatever the artifact is.
BYTES: Schema = {"content": {"application/octet-stream": {}}, "required": True}
# Parameters of many routes, in words.
WORDS = {
    "alias": "An alias, for instance champion.",
    "dry_run": "Change nothing; tell what would be changed.",
    "follow": "Go on with what is written from now on; the answer then ends with the connection.",
    "keep_warm_s": "So long the version that is left stays loaded, in seconds.",
    "key_id": "The key's id, as it is listed.",
    "limit": "So many of the last changes.",
    "model": "A model's name.",
    "redo": "Take back the last undo instead.",
    "since": "From when on, in Unix seconds.",
    "revision": "Only instead of the route of this revision.",
    "slug": "The link's slug, as it is listed.",
    "spec": "The request as a JSON object, see the reference.",
    "spec_bytes": "So many bytes at the body's beginning are the request.",
    "tail": "So many of the last lines.",
    "until": "Until when, in Unix seconds.",
    "version": "A version's number.",
    "why": "In words, for the history.",
}


@attrs.frozen
class Answers:
    """What a route answers, as a type that msgspec can describe, and as which media type.

    ``takes`` describes its body where the handler reads that itself, None where the handler's type does.
    """

    kind: Any
    media_type: str
    takes_bytes: bool
    takes: Any = None


def told(
    summary: str,
    kind: Any = dict[str, Any],
    media_type: str = "application/json",
    *,
    takes_bytes: bool = False,
    takes: Any = None,
) -> dict[str, Any]:
    """Return what to give to a route's decorator: its summary, and what it answers."""
    return {"summary": summary, "opt": {TOLD: Answers(kind, media_type, takes_bytes, takes)}}


def admin_document(routes: Iterable[Any], url: str) -> Schema:
    """Return the document of the routes of a Litestar application at ``url``."""
    handlers = [(route, handler) for route in routes for handler in _handlers(route)]
    kinds = [kind for _, handler in handlers for kind in _kinds(handler)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    known = dict(zip(map(str, kinds), schemas, strict=True))
    paths: dict[str, Schema] = {}
    for route, handler in handlers:
        path = paths.setdefault(re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path), {})
        for method in handler.http_methods:
            path[method.lower()] = _operation(handler, known)
    shared = problem_components()
    return {
        "openapi": "3.1.0",
        "info": {"title": "PRISM, administration", "version": __version__},
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            **shared,
            "schemas": {**shared["schemas"], **components},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _handlers(route: Any) -> Iterator[HTTPRouteHandler]:
    if isinstance(route, HTTPRoute):
        yield from (handler for handler in route.route_handlers if "OPTIONS" not in handler.http_methods)


def _kinds(handler: HTTPRouteHandler) -> Iterator[Any]:
    answers: Answers = handler.opt[TOLD]
    yield answers.kind
    yield from (_annotation(answers, field) for _, field in _parameters(handler))


def _annotation(answers: Answers, field: FieldDefinition) -> Any:
    """Return what describes a parameter, or the body."""
    own = isinstance(field.kwarg_definition, BodyKwarg) and answers.takes is not None
    return answers.takes if own else field.annotation


def _parameters(handler: HTTPRouteHandler) -> Iterator[tuple[str, FieldDefinition]]:
    """Yield what a handler takes: parameters and a body; not the request itself."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(field.kwarg_definition, PathParameter | QueryParameter | BodyKwarg):
            yield name, field


def _operation(handler: HTTPRouteHandler, known: dict[str, Schema]) -> Schema:
    answers: Answers = handler.opt[TOLD]
    content = {answers.media_type: {"schema": known[str(answers.kind)]}}
    operation: Schema = {
        "operationId": handler.handler_name,
        "summary": handler.summary,
        "parameters": [],
        "responses": {
            str(handler.status_code): {"description": "Done.", "content": content},
            **refusals(*OF_MANAGING),
        },
    }
    if answers.takes_bytes:
        operation["requestBody"] = BYTES
    for name, field in _parameters(handler):
        schema = known[str(_annotation(answers, field))]
        if isinstance(field.kwarg_definition, BodyKwarg):
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}, "required": True}
        else:
            operation["parameters"].append(_parameter(name, field, schema))
    return operation


def _parameter(name: str, field: FieldDefinition, schema: Schema) -> Schema:
    in_path = isinstance(field.kwarg_definition, PathParameter)
    if not in_path and field.has_default and field.default is not None:
        schema = {**schema, "default": field.default}
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path,
        "description": WORDS.get(name, ""),
        "schema": schema,
    }
