"""Which pages of other origins may read answers."""

from __future__ import annotations

import httpx
import pytest

from prism_core.errors import ConfigError
from prism_core.rest.app import public_app
from prism_core.rest.cors import ModelCors, cors_of
from prism_core.settings import ModelSettings, Settings

APP, OTHER = "https://app.example.org", "https://evil.example"
MODELS = {"churn": ModelSettings(cors=("http://localhost:3000",)), "open": ModelSettings(cors=("*",))}
CORS = ModelCors(frozenset({APP}), {name: frozenset(model.cors or ()) for name, model in MODELS.items()})


@pytest.mark.parametrize(
    ("path", "origin", "allowed"),
    [
        ("/model/iris/predict", APP, APP),
        ("/model/iris/predict", OTHER, ""),
        ("/model/iris/predict", APP.upper(), ""),
        ("/model/iris/predict", APP + ".evil.example", ""),
        ("/model/iris/predict", "null", ""),
        ("/v1/models", APP, APP),
        ("/anything", APP, APP),
        ("/model/churn/predict", APP, ""),
        ("/model/churn/predict", "http://localhost:3000", "http://localhost:3000"),
        ("/model/churn@champion/predict", "http://localhost:3000", "http://localhost:3000"),
        ("/model/churn/versions/3/predict", "http://localhost:3000", "http://localhost:3000"),
        ("/v1/models/churn:predict", "http://localhost:3000", "http://localhost:3000"),
        ("/v1/models/churn/metadata", "http://localhost:3000", "http://localhost:3000"),
        ("/model/open/predict", OTHER, "*"),
    ],
)
def test_who_may_read_what(path, origin, allowed):
    assert CORS.allowed(path, origin) == allowed


@pytest.mark.parametrize(
    ("settings", "nothing"),
    [
        (Settings(), True),
        (Settings(models={"churn": ModelSettings(cors=())}), True),
        (Settings(cors=(APP,)), False),
        (Settings(models=MODELS), False),
    ],
)
def test_nothing_is_asked_where_nothing_is_set(settings, nothing):
    assert (cors_of(settings) is None) == nothing


def test_a_model_can_be_closed_where_the_server_is_open():
    cors = cors_of(Settings(cors=("*",), models={"churn": ModelSettings(cors=())}))

    assert cors is not None
    assert cors.allowed("/model/churn/predict", APP) == ""
    assert cors.allowed("/model/iris/predict", APP) == "*"


@pytest.mark.parametrize(
    "origin",
    ["app.example.org", "https://app.example.org/", "https://App.example.org", "", "https://*.org", "null"],
)
def test_what_is_no_origin_is_told(origin):
    with pytest.raises(ConfigError) as refused:
        cors_of(Settings(models={"churn": ModelSettings(cors=(origin,))}))

    assert "models.churn.cors" in refused.value.message


@pytest.fixture
async def browser(gateway):
    object.__setattr__(gateway.settings, "cors", (APP,))
    object.__setattr__(gateway.settings, "models", MODELS)
    transport = httpx.ASGITransport(public_app(gateway), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://prism.test") as client:
        yield client


ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


async def test_a_preflight_is_answered_without_anything_behind_it(browser):
    told = await browser.options("/model/iris/predict", headers={"Origin": APP, **ASKS})

    assert told.status_code == 204
    assert told.headers["access-control-allow-origin"] == APP
    assert "POST" in told.headers["access-control-allow-methods"]
    assert {"authorization", "content-type", "x-api-key"} <= set(
        told.headers["access-control-allow-headers"].split(", ")
    )
    assert told.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in told.headers


async def test_a_preflight_of_a_stranger_is_refused(browser):
    told = await browser.options("/model/churn/predict", headers={"Origin": APP, **ASKS})

    assert told.status_code == 403
    assert told.json()["code"] == "forbidden"
    assert "access-control-allow-origin" not in told.headers


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/model/nobody", "/no/such/route"])
async def test_every_page_says_who_may_read_it(browser, path):
    """Faults too: a page may read why it was refused."""
    one, two, none = [
        (await browser.get(path, headers=headers)).headers
        for headers in ({"Origin": APP}, {"Origin": OTHER}, {})
    ]

    assert one["access-control-allow-origin"] == APP
    seen = set(one["access-control-expose-headers"].split(", "))
    assert {"x-prism-model-version", "x-prism-model", "x-prism-fallback", "x-prism-members-used"} <= seen
    assert "access-control-allow-origin" not in {**two, **none}
    assert [answer["vary"] for answer in (one, two, none)] == ["Origin"] * 3


async def test_options_of_no_browser_are_those_of_the_route(browser):
    assert (await browser.options("/v1/models")).headers["allow"]


async def test_without_the_setting_nothing_is_said(public):
    told = await public.get("/v1/models", headers={"Origin": APP})

    assert not {"vary", "access-control-allow-origin"} & set(told.headers)
