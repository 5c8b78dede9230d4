"""The document of the admin listener: read off its routes, and complete."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from prism_core.rest.admin import admin_routes
from prism_core.rest.admin_openapi import TOLD, WORDS, admin_document
from prism_core.rest.asgi import litestar_app
from prism_core.rest.openapi import Described, document
from prism_core.types import Signature, TensorSpec

HANDLERS = admin_routes(None, None)
MATRIX = Signature((TensorSpec("X", "FP64", (-1, 2)),), (TensorSpec("predictions", "INT64", (-1,)),))


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda one: one.handler_name)
def test_every_route_tells_what_it_answers(handler):
    assert TOLD in handler.opt, (
        f"{handler.handler_name} is a route that its own document could not describe: give its decorator "
        "**told('what it does', the type that it answers), from prism_core.rest.admin_openapi."
    )
    assert handler.summary


async def test_the_document_is_what_the_server_has(admin):
    told = (await admin.get("/admin/v1/openapi.json")).json()
    served = {
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", path), method.lower())
        for handler in HANDLERS
        for path in handler.paths
        for method in handler.http_methods
    }

    assert {(path, method) for path, one in told["paths"].items() for method in one} == served
    assert told["servers"] == [{"url": "http://prism.test"}]


async def test_it_wants_the_token(stranger):
    assert (await stranger.get("/admin/v1/openapi.json")).status_code == 401


async def test_both_documents_are_valid(admin, public):
    validate((await admin.get("/admin/v1/openapi.json")).json())
    validate((await public.get("/openapi.json")).json())
    validate(document([Described("m", 1, MATRIX)], "http://prism.test"))


def test_parameters_have_words_types_and_defaults():
    told = admin_document(litestar_app(HANDLERS).routes, "")
    logs = told["paths"]["/admin/v1/models/{model}/logs"]["get"]["parameters"]
    operations = [operation for path in told["paths"].values() for operation in path.values()]
    given = {one["name"] for operation in operations for one in operation["parameters"]}

    assert [(one["name"], one["in"], one["required"]) for one in logs] == [
        ("model", "path", True),
        ("version", "query", False),
        ("tail", "query", False),
        ("follow", "query", False),
    ]
    assert logs[2]["schema"] == {"type": "integer", "default": 100}
    assert not given - WORDS.keys(), "a parameter without words: add it to WORDS of admin_openapi"
