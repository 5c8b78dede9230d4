"""What a tunnel's listener answers: links, a probe, and nothing else that the server has."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.link import LinkWish, new_link
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.unlocking import Unlocking
from prism_core.gateway.probing import Prober
from prism_core.gateway.service import PredictService
from prism_core.rates import Rate
from prism_core.rest.admin import admin_routes
from prism_core.rest.app import public_app
from prism_core.rest.linked import link_app
from prism_core.rest.public import PREDICT_PATHS, public_routes
from prism_core.serving import Frontend
from tests.unit.rest.test_dialects import TOY
from tests.unit.rest.test_entrance import told as face

NOW = 1000.0
BASE = "https://tunnel.example"


class Lanes:
    """Serves nothing, and says so of what it was asked for."""

    lanes = {}

    def explain(self, reference):
        raise AssertionError(f"asked for {reference}")


class Known:
    """The links, as the gateway has them."""

    def __init__(self, table):
        self.table = table

    def url_of(self, link):
        return f"{BASE}/s/{link.slug}"

    def used(self, link):
        return 0


@pytest.fixture
def linked(gateway):
    """A gateway with a link to ``churn@champion``, one to ``churn/1`` and one that leads nowhere."""
    links = []
    for model in ("churn@champion", "churn/1", "nobody"):
        link, token = new_link(LinkWish(model, note="Hi"), NOW)
        gateway.tokens[model] = (link.slug, token)
        links.append(link)
    uses = Tally()
    limiter = Limiter({"address": Rate.parse("1000/s")}, uses=uses, clock=lambda: NOW)
    gateway.link_door = LinkDoor(LinkTable(links, uses=uses, clock=lambda: NOW), limiter)
    gateway.links = Known(gateway.link_door.table)
    gateway.unlocking = Unlocking(gateway.link_door.table, lambda: NOW)
    gateway.service = PredictService(Lanes())
    gateway.publishing = Publishing()
    return gateway


class Publishing:
    def __init__(self):
        self.prober = Prober()


def client_of(app, client=("127.0.0.1", 1)):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
    return httpx.AsyncClient(transport=transport, base_url="http://tunnel.test")


@pytest.fixture
async def tunnel(linked):
    async with client_of(link_app(linked, "x-forwarded-for")) as client:
        yield client


OTHERS = sorted(
    {
        re.sub(r"\{\w+:\w+\}", "churn", path)
        for handler in (*public_routes(None), *admin_routes(None, None))
        for path in (*handler.paths, *PREDICT_PATHS)
    }
    | {"/", "/s", "/s/", "/metrics", "/docs", "//", "/S/churn", "/.well-known/", "/.well-known/prism"}
    | {"/s/../model/churn", "/s/../admin/v1/models", "/s/..%2fmodel/churn/predict"}
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_of_the_server_beside_links_is_there(tunnel, linked, method, problem_of):
    _, token = linked.tokens["churn@champion"]
    linked.known.clear()  # whoever looked a model up would fail
    for path in OTHERS:
        for headers in ({}, {"Authorization": f"Bearer {linked.token}"}, {"X-Prism-Token": token}):
            told = await tunnel.request(method, path, headers=headers)
            assert told.status_code == 404, (path, told.text)
            if method != "HEAD":
                assert problem_of(told)["code"] in ("route_not_found", "link_not_found"), path


async def test_protocols_of_plugins_are_not_there(linked, problem_of):
    """Not even for who has the token of a link."""
    linked.plugins.records["prism_dialects"]["toy"] = TOY
    linked.frontends = [(Frontend("toys", open=None, path="/toys"), face)]
    _, token = linked.tokens["churn@champion"]
    async with client_of(public_app(linked)) as public, client_of(link_app(linked, "")) as tunnel:
        for method, path in (("PUT", "/toy/churn"), ("POST", "/toy/churn"), ("GET", "/toys")):
            there = await public.request(method, path)
            assert "prism:error:route_not_found" not in there.text
            answer = await tunnel.request(method, path, headers={"X-Prism-Token": token})
            assert problem_of(answer)["code"] == "route_not_found"


async def test_only_a_probe_that_is_under_way_is_answered(tunnel, linked, problem_of):
    linked.publishing.prober._pending["nonce"] = b"answer"
    told = await tunnel.get("/.well-known/prism/nonce")
    other = await tunnel.get("/.well-known/prism/another")

    assert (told.status_code, told.content) == (200, b"answer")
    assert problem_of(other)["code"] == "route_not_found"


@pytest.mark.parametrize(("model", "version"), [("churn@champion", 2), ("churn/1", 1)])
async def test_metadata_is_of_the_linked_version_and_of_no_other(tunnel, linked, model, version):
    slug, token = linked.tokens[model]
    told = (await tunnel.get(f"/s/{slug}/metadata", headers={"X-Prism-Token": token})).json()

    assert (told["name"], told["version"], told["note"]) == ("churn", version, "Hi")
    assert told["predict_url"] == f"{BASE}/s/{slug}/predict"
    assert f"{BASE}/s/{slug}/predict" in told["curl"]
    assert "$PRISM_TOKEN" in told["curl"]
    assert not {"aliases", "versions", "loader", "state"} & told.keys()


async def test_a_link_that_leads_nowhere_names_no_other_model(tunnel, linked, problem_of):
    slug, token = linked.tokens["nobody"]
    told = await tunnel.get(f"/s/{slug}/metadata", headers={"X-Prism-Token": token})

    assert problem_of(told)["code"] == "model_not_found"
    assert "churn" not in told.text


async def test_head_is_as_get_without_a_body(tunnel, linked):
    slug, token = linked.tokens["churn/1"]
    told = await tunnel.head(f"/s/{slug}/metadata", headers={"X-Prism-Token": token})

    assert (told.status_code, told.content, told.headers["cache-control"]) == (200, b"", "no-store")


@pytest.mark.parametrize(
    ("forwards", "client", "address"),
    [
        ("x-forwarded-for", "127.0.0.1", "198.51.100.7"),
        ("x-forwarded-for", "192.0.2.1", "192.0.2.1"),
        ("forwarded", "127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_the_tunnels_own_header_is_believed_from_this_machine(linked, forwards, client, address):
    slug, token = linked.tokens["churn/1"]
    app = link_app(linked, forwards)
    headers = {"X-Prism-Token": token, "X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
    async with client_of(app, (client, 1)) as tunnel:
        assert (await tunnel.get(f"/s/{slug}/metadata", headers=headers)).status_code == 200
    buckets = linked.link_door.limiter.buckets["address"]

    assert buckets.ahead_s(address, NOW) > 0
    assert len(buckets) == 1


async def test_what_opens_a_link_is_short(tunnel, linked, problem_of):
    slug, _ = linked.tokens["churn/1"]
    told = await tunnel.post(f"/s/{slug}/open", json={"token": "x" * 5000})

    assert problem_of(told)["code"] == "payload_too_large"


async def test_a_token_in_a_header_opens_too(tunnel, linked):
    slug, token = linked.tokens["churn/1"]
    told = await tunnel.post(f"/s/{slug}/open", headers={"Authorization": f"Bearer {token}"})

    assert told.json()["session"].startswith("prs_")
    assert json.loads(told.content)["expires"] == NOW + 12 * 3600


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/s/{}/predict", (405, "method_not_allowed")),
        ("POST", "/s/{}/predict/", (404, "route_not_found")),
        ("POST", "/s/NoSlug/predict", (404, "link_not_found")),
        ("POST", "/s/~{}/predict", (404, "link_not_found")),
        ("PUT", "/s/{}/metadata", (405, "method_not_allowed")),
        ("GET", "/s/{}/open", (405, "method_not_allowed")),
        ("POST", "/s/{}/open/more", (404, "route_not_found")),
    ],
)
async def test_what_is_nearly_a_route_is_told_so(tunnel, linked, problem_of, method, path, told):
    slug, token = linked.tokens["churn/1"]
    answer = await tunnel.request(method, path.format(slug), headers={"X-Prism-Token": token})

    assert (answer.status_code, problem_of(answer)["code"]) == told


async def test_opening_counts_to_the_address_and_says_so(tunnel, linked):
    slug, token = linked.tokens["churn/1"]
    told = await tunnel.post(f"/s/{slug}/open", json={"token": token})

    assert told.headers["ratelimit"] == '"address";r=999;t=1'
