"""The public routes against a gateway in memory."""

from __future__ import annotations

import shlex

import pytest

from prism_core import __version__

CHURN_EXAMPLE = {"input": [{"tenure": 0, "plan": "basic"}]}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model/churn", 200),
        ("/model/churn/", 200),
        ("/model/churn@champion", 200),
        ("/model/churn@latest", 200),
        ("/model/churn/versions/1", 200),
        ("/v1/models", 200),
        ("/v1/models/churn", 200),
        ("/v1/models/churn/metadata", 200),
        ("/v1/models/churn@champion/metadata", 200),
        ("/v1/models/status", 200),
        ("/v1/health", 200),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/metrics", 404),
        ("/openapi.json", 200),
        ("/model/chrn", 404),
        ("/model/churn@nobody", 404),
        ("/model/churn/versions/9", 404),
        ("/model/churn/versions/x", 404),
        ("/v1/models/chrn", 404),
        ("/v1/models/chrn/metadata", 404),
        ("/nowhere", 404),
        ("/", 404),
        ("/schema", 404),
        ("/model", 404),
        ("/model/churn/predict", 405),
        ("/model/churn@champion/predict", 405),
        ("/model/churn/versions/2/predict", 405),
        ("/v1/models/churn/predict", 405),
    ],
)
async def test_get(public, problem_of, path, status):
    answer = await public.get(path)

    assert answer.status_code == status
    if status != 200:
        problem_of(answer)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_refused_with_those_that_are_taken(public, problem_of, method):
    answer = await public.request(method, "/v1/health")

    assert problem_of(answer)["code"] == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == {"GET", "OPTIONS"}


async def test_reading_a_predict_route_says_that_it_takes_post(public, problem_of):
    answer = await public.get("/model/churn/predict")

    assert "POST" in answer.headers["allow"]
    assert "POST" in problem_of(answer)["hint"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/model/churn"])
async def test_head_is_get_without_a_body(public, path):
    answer = await public.head(path)

    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/model/Bad!/predict", "model_not_found"),
        ("/v1/models/Bad!:predict", "model_not_found"),
        ("/model/churn/versions/x/predict", "model_not_found"),
        ("/v1/models/churn", "method_not_allowed"),
        ("/model/churn/predict/", "route_not_found"),
        ("/model/churn", "method_not_allowed"),
    ],
)
async def test_post_where_no_model_predicts(public, problem_of, path, code):
    assert problem_of(await public.post(path, content=b"{}"))["code"] == code


async def test_model_page(public):
    page = (await public.get("/model/churn")).json()

    assert (page["name"], page["version"], page["state"], page["ready"]) == ("churn", 3, "READY", True)
    assert page["aliases"] == {"latest": 3, "champion": 2}
    assert [(v["version"], v["state"]) for v in page["versions"]] == [
        (1, "STOPPED"),
        (2, "READY"),
        (3, "READY"),
    ]
    assert page["signature"]["inputs"][0]["name"] == "tenure"
    assert page["url"] == "http://prism.test:8000/model/churn/predict"
    assert page["example"] == CHURN_EXAMPLE


@pytest.mark.parametrize(
    ("path", "version", "url"),
    [
        ("/model/churn@champion", 2, "/model/churn@champion/predict"),
        ("/model/churn/versions/1", 1, "/model/churn/versions/1/predict"),
    ],
)
async def test_a_page_describes_what_was_asked_for(public, path, version, url):
    page = (await public.get(path)).json()

    assert page["version"] == version
    assert page["url"].endswith(url)
    assert page["url"] in shlex.split(page["curl"])


async def test_a_model_that_never_was_ready_has_a_page(public, gateway, with_model):
    with_model("young", state="STARTING", signature=None, aliases={})

    page = (await public.get("/model/young")).json()

    assert (page["ready"], page["signature"], page["example"], page["curl"]) == (False, None, None, None)


@pytest.mark.parametrize(
    "path",
    [
        "/model/churn",
        "/model/churn/versions/1",
        "/v1/models/churn/metadata",
        "/v1/models/status",
        "/v1/health",
        "/openapi.json",
    ],
)
async def test_nothing_private_is_told(public, gateway, path):
    """No path, option, process, error text or token reaches a stranger."""
    text = (await public.get(path)).text

    assert "secret" not in text
    assert "4242" not in text
    assert gateway.token not in text
    assert str(gateway.settings.data_dir) not in text


async def test_metadata_speaks_open_inference(public):
    told = (await public.get("/v1/models/churn/metadata")).json()

    assert told["inputs"] == [
        {"name": "tenure", "datatype": "INT64", "shape": [-1]},
        {"name": "plan", "datatype": "BYTES", "shape": [-1]},
    ]
    assert told["versions"] == ["1", "2", "3"]


async def test_status_and_health_count_the_models(public, with_model):
    with_model("broken", state="FAILED", aliases={})

    models = (await public.get("/v1/models/status")).json()["models"]
    health = (await public.get("/v1/health")).json()

    assert {model["name"]: model["ready"] for model in models} == {
        "churn": True,
        "iris": True,
        "broken": False,
    }
    assert (health["status"], health["version"]) == ("ok", __version__)
    assert health["models"] == {"ready": 2, "total": 3}


async def test_a_fault_of_ours_tells_only_its_number(public, gateway, problem_of, capsys):
    gateway.fails = RuntimeError("secret-error at /home/secret")
    answer = await public.get("/v1/health")

    document = problem_of(answer)
    assert (document["code"], document["status"]) == ("internal_error", 500)
    assert "secret" not in answer.text
    assert document["error_id"] in capsys.readouterr().out


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/v1/models",
        "/admin/v1/upload",
        "/admin/v1/events",
        "/admin/v1/server",
        "/admin/v1/plugins",
        "/metrics",
    ],
)
async def test_nothing_administrative_is_public(public, gateway, method, path):
    """Also for who has the token: the route is not there."""
    answer = await public.request(method, path, headers={"Authorization": f"Bearer {gateway.token}"})

    assert answer.status_code == 404


async def test_the_public_route_table_holds_no_admin_path(gateway):
    from prism_core.rest.asgi import litestar_app
    from prism_core.rest.public import public_routes

    paths = {route.path for route in litestar_app(public_routes(gateway)).routes}

    assert paths == {
        "/model/{model:str}",
        "/model/{model:str}/versions/{version:int}",
        "/model/{model:str}/predict",
        "/model/{model:str}/versions/{version:str}/predict",
        "/v1/models",
        "/v1/models/status",
        "/v1/models/{model:str}",
        "/v1/models/{model:str}/metadata",
        "/v1/models/{model:str}/predict",
        "/v1/health",
        "/health/live",
        "/health/ready",
        "/openapi.json",
    }
