"""Every hook, setting, error code, route and command has its heading, and no heading is stale."""

import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path

import attrs
import click
import pytest

import prism_core.cli.commands
from prism_core import hookspecs, testing
from prism_core.cli.app import COMMANDS, app
from prism_core.errors import all_errors
from prism_core.manifest import Batching
from prism_core.rest.admin import admin_routes
from prism_core.rest.feedback import feedback_route
from prism_core.rest.linked import link_routes
from prism_core.rest.openapi import document
from prism_core.rest.public import PREDICT_PATHS, public_routes
from prism_core.rest.routing import route_of
from prism_core.settings import Settings
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Target
from prism_oip.rest import paths as oip_paths

DOCS = Path(__file__).parents[2] / "docs"


def test_every_hook(reference):
    assert reference("hooks") == set(hookspecs.hook_names())


def setting_keys(cls, prefix=""):
    """Yield every key; a map's values stand under NAME."""
    hints = typing.get_type_hints(cls)
    for field in attrs.fields(cls):
        kind, key = hints[field.name], f"{prefix}{field.name}"
        yield key
        inner = typing.get_args(kind)[-1:]
        if inner == (Route,):
            continue  # routes.md has its keys
        if attrs.has(kind):
            yield from setting_keys(kind, f"{key}.")
        elif inner and attrs.has(inner[0]):
            yield from setting_keys(inner[0], f"{key}.NAME.")


def test_every_setting(reference):
    assert reference("settings") == set(setting_keys(Settings))


def test_the_walk_finds_the_deepest_setting():
    assert {f"models.NAME.batching.{field.name}" for field in attrs.fields(Batching)} <= set(
        setting_keys(Settings)
    )


def route_keys(cls, prefix=""):
    """Yield every key of a route; what all targets have is told once, by itself."""
    for field in attrs.fields(cls):
        if field.name in TARGET and prefix:
            continue
        key = f"{prefix}{field.name}"
        yield key
        kind = typing.get_type_hints(cls)[field.name]
        for inner in typing.get_args(kind) or (kind,):
            if attrs.has(inner):
                listed = typing.get_origin(kind) is tuple
                yield from route_keys(inner, f"{key}[]." if listed else f"{key}.")


TARGET = {field.name for field in attrs.fields(Target)}


def test_every_key_of_a_route(reference):
    assert reference("routes") == {*route_keys(Route), *route_keys(Target)}


def test_the_walk_finds_the_deepest_key_of_a_route():
    assert {"ensemble.members[].weight", "circuit.pause_s"} <= set(route_keys(Route))


def test_every_error_code(reference):
    for module in pkgutil.iter_modules(prism_core.cli.commands.__path__, "prism_core.cli.commands."):
        importlib.import_module(module.name)
    own = {code: cls for code, cls in all_errors().items() if cls.__module__.startswith("prism_core.")}

    assert reference("errors") == set(own)


def test_every_error_names_its_status(read_section):
    for code, cls in all_errors().items():
        if cls.__module__ == "prism_core.errors":
            assert f"Status {cls.status}." in read_section("reference/errors.md", code), code


def routes():
    """Yield ``GET /model/{model}`` and so on, for all routes of both listeners."""
    for handler in (
        *public_routes(None),
        feedback_route(None),
        *link_routes(None, None),
        *admin_routes(None, None),
    ):
        for path in handler.paths:
            if path in PREDICT_PATHS and "POST" in handler.http_methods:
                continue  # told by the front, below
            plain = re.sub(r"\{(\w+):\w+\}", r"{\1}", path)
            yield from (f"{method} {plain}" for method in handler.http_methods if method != "OPTIONS")


PREDICT = {
    "POST /model/{model}/predict",
    "POST /model/{model}@{alias}/predict",
    "POST /model/{model}/versions/{version}/predict",
    "POST /v1/models/{model}/predict",
    "POST /v1/models/{model}:predict",
    "POST /s/{slug}/predict",
}


def test_every_route(reference):
    assert reference("rest") == {*routes(), *PREDICT}


@pytest.mark.parametrize("route", sorted(PREDICT))
def test_the_predict_routes_are_matched(route):
    path = route.removeprefix("POST ").format(model="churn", alias="champion", version="3", slug="tk5mfw9n2x")

    assert route_of(path)


def test_openapi_tells_the_same_routes(reference):
    told = {
        f"{method.upper()} {path}"
        for path, item in document([], "").get("paths", {}).items()
        for method in item
    }

    assert told <= reference("rest")
    assert {route for route in reference("rest") if "/admin/" not in route} - told <= {
        "POST /model/{model}@{alias}/predict",  # {model} may be churn@champion
        "GET /metrics",  # of the admin listener
        *(route for route in reference("rest") if "/s/{slug}" in route),  # for those who have one
    }


def test_every_route_of_the_inference_protocol(reference):
    told = {heading for heading in reference("oip") if " /v2" in heading}

    assert told == {f"{methods[0]} {path}" for path, methods in oip_paths.ROUTES.values()}


def test_every_command(reference):
    of_plugins = {"conformance"}  # the others have pages of their own
    assert reference("cli") == {f"prism {name}" for name in {*COMMANDS, *of_plugins}}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_in_its_help(name):
    command = app.get_command(click.Context(app), name)

    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_every_hook_is_shown_with_its_signature(read_section, hook):
    assert f"def {hook}{inspect.signature(getattr(hookspecs, hook))}".replace("'", "") in read_section(
        "reference/hooks.md", hook
    )


def test_every_link_between_pages_leads_somewhere():
    broken = []
    for page in [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]:
        targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        broken += [(page.name, target) for target in targets if not (page.parent / target).exists()]

    assert not broken


def test_every_contract_suite(reference):
    assert reference("testing") == {name for name in testing.__all__ if name.endswith("Contract")}


def test_every_fake(read_page):
    told = set(re.findall(r"`(\w+)`", read_page("reference/testing.md")))

    assert {name for name in testing.__all__ if not name.endswith("Contract")} <= told
