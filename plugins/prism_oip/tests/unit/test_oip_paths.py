"""What paths are about, and what they ask of a caller."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_oip.rest.dialect import ROUTES
from prism_oip.rest.paths import asks, route_of

READ, POST = ("GET", "HEAD"), ("POST",)


@pytest.mark.parametrize(
    ("path", "name", "methods", "reference", "asked"),
    [
        ("/v2", "server", READ, "", ""),
        ("/v2/", "server", READ, "", ""),
        ("/v2/health/live", "live", READ, "", None),
        ("/v2/health/ready", "ready", READ, "", None),
        ("/v2/models/stats", "statistics", READ, "", ""),
        ("/v2/repository/index", "index", POST, "", ""),
        ("/v2/repository/models/churn/load", "load", POST, "churn", "churn"),
        ("/v2/repository/models/churn/unload", "unload", POST, "churn", "churn"),
        ("/v2/models/churn", "model", READ, "churn", "churn"),
        ("/v2/models/churn@champion", "model", READ, "churn@champion", "churn@champion"),
        ("/v2/models/churn/versions/3", "model", READ, "churn/3", "churn/3"),
        ("/v2/models/churn/versions/03", "model", READ, "churn/3", "churn/3"),
        ("/v2/models/churn/versions/best", "model", READ, "churn@best", "churn@best"),
        ("/v2/models/churn/ready", "model_ready", READ, "churn", "churn"),
        ("/v2/models/churn/versions/3/ready", "model_ready", READ, "churn/3", "churn/3"),
        ("/v2/models/churn/config", "model_config", READ, "churn", "churn"),
        ("/v2/models/churn/versions/3/config", "model_config", READ, "churn/3", "churn/3"),
        ("/v2/models/churn/stats", "model_statistics", READ, "churn", "churn"),
        ("/v2/models/churn/versions/best/stats", "model_statistics", READ, "churn@best", "churn@best"),
        ("/v2/models/churn/versions/3/infer", "infer", POST, "churn/3", "churn/3"),
        ("/v2/models/stats@latest", "model", READ, "stats@latest", "stats@latest"),
        ("/v2/models/stats/stats", "model_statistics", READ, "stats", "stats"),
    ],
)
def test_what_a_path_is_about(path, name, methods, reference, asked):
    route = route_of(path)

    assert route is not None
    assert (route.name, route.methods, route.reference) == (name, methods, reference)
    assert asks(path) == asked


@pytest.mark.parametrize(
    "path",
    [
        "/v2//",
        "/v2/models",
        "/v2/models/",
        "/v2/models//ready",
        "/v2/models/churn/",
        "/v2/models/churn/ready/",
        "/v2/models/churn@best/versions/3/ready",
        "/v2/models/churn/versions//ready",
        "/v2/models/../../etc/passwd",
        "/v2/models/%2e%2e/ready",
        "/v2/models/churn\n/ready",
        "/v2/models/churn/ready\n",
        "/v2/models/\ud800/ready",
        "/v2/models/@/ready",
        "/v2/repository/models/churn@best/load",
        "/v2/repository/models/churn/versions/3/load",
        "/v2/health",
        "/V2",
    ],
)
def test_everything_else_is_nothing_and_takes_a_caller_who_may_all(path):
    assert route_of(path) is None
    assert asks(path) == "*"


@pytest.mark.parametrize(
    ("path", "one"),
    [
        ("/v2/models/churn/stats", False),
        ("/v2/models/churn@best/stats", True),
        ("/v2/models/churn/versions/3/stats", True),
    ],
)
def test_whether_one_version_is_meant(path, one):
    route = route_of(path)

    assert route is not None
    assert route.one is one


@given(st.text(alphabet=st.sampled_from("/.@a0-_%\n versionsinferready"), max_size=60))
def test_what_predicts_is_the_same_here_and_on_the_short_way(rest):
    path = f"/v2/models/{rest}"
    route = route_of(path)

    assert (route is not None and route.name == "infer") == (re.fullmatch(ROUTES, path) is not None)
