"""What a tunnel leads to: the routes of links and nothing else, however it is asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.network.routes import METHODS, Route, all_routes, spellings
from tests.network.stranger import visiting

# What says that there is nothing, or that this is no request. Anything else would have been let in.
SHUT = {400, 404}


@pytest.fixture(scope="module")
def routes(laptop):
    found = all_routes(laptop)
    assert {Route("GET", "/admin/v1/models"), Route("POST", "/model/m/predict")} <= set(found)
    return found


@pytest.fixture
def keys(laptop):
    """What opens every route of the server itself: a wall that only asks for a token would be found out."""
    token = (laptop.data_dir / "admin-token").read_text()
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def test_every_route_of_the_server_is_none_of_a_tunnels(net, shared, routes, keys):
    with visiting(net.stranger, shared) as visit:
        answers = {
            route: visit.ask(route.method, prefix(shared) + route.path, b"{}", keys) for route in routes
        }
        assert visit.predict(shared, 2).is_right(2, shared.factor)

    assert len(routes) > 40
    assert {route: reply.status for route, reply in answers.items() if reply.status != 404} == {}


@pytest.mark.parametrize("method", [*(m.upper() for m in METHODS), "TRACE", "CONNECT", "PROPFIND", "BREW"])
def test_no_method_finds_more(net, shared, keys, method):
    with visiting(net.stranger, shared) as visit:
        found = visit.ask(method, prefix(shared) + "/admin/v1/models", None, keys)

    assert found.status in SHUT | {405, 501}
    assert b'"models"' not in found.body


@pytest.mark.parametrize("path", ["/admin/v1/models", "/metrics", "/model/m", "/v1/models", "/health/ready"])
def test_no_spelling_finds_more(net, shared, laptop, keys, path):
    outcomes = Counter()
    for spelling in spellings(path, shared.slug, laptop.facts["admin"]):
        with visiting(net.stranger, shared) as visit:
            target = (
                spelling.target if spelling.target.startswith("http") else prefix(shared) + spelling.target
            )
            found = visit.ask("GET", target, None, {**keys, **spelling.headers})
        assert found.status in SHUT, (spelling, found)
        outcomes[found.status] += 1

    assert outcomes[404] > 10


def test_a_probe_of_somebody_else_is_not_answered(net, shared):
    with visiting(net.stranger, shared) as visit:
        assert visit.ask("GET", f"{prefix(shared)}/.well-known/prism/guessed").status == 404


def prefix(link):
    """Return what stands before the path where a relay routes by paths."""
    from urllib.parse import urlsplit

    return urlsplit(link.base).path
