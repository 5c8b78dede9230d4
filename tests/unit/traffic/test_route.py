"""A route as a value: from YAML and JSON, and through msgspec as followers and the database carry it."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from prism_core.converters import structure
from prism_core.errors import ConfigError
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.circuit import CircuitPolicy
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.experiment import Experiment, TrafficGuard
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.recording import Recording
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Rule, Shadow, Share, Target

ROUTES = [
    Route(),
    Route(
        (Share(3, weight=90), Share("champion", weight=10), Share(model="rf/2", weight=0)), "header:X-User-ID"
    ),
    Route(fallback=(Fallback(2), Fallback(value={"p": [0.5, None, {"a": "b"}]}))),
    Route(rules=(Rule(4, when="true"),), shadow=(Shadow(model="rf@champion", percent=20),), timeout_ms=200),
    Route(
        (Share(1), Share(2)),
        bandit=Bandit("exp3"),
        hedge=Hedge(3.0),
        circuit=CircuitPolicy(7),
        experiment=Experiment(2),
        guard=TrafficGuard(),
        record=Recording(10, redact=("name",)),
    ),
    Route(ensemble=Ensemble((Share(1), Share(2)), "stacking", stack=Target(3))),
]


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_comes_back_as_it_was(route):
    for code in (msgspec.json, msgspec.msgpack):
        assert code.decode(code.encode(route), type=Route) == route
    plain = msgspec.to_builtins(route)
    assert structure(plain, Route) == route
    assert structure(yaml.safe_load(yaml.safe_dump(plain)), Route) == route


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"split": [{"version": 1.5}]}, "split[0].version: expected int or str, got float 1.5."),
        ({"split": [{"version": True}]}, "split[0].version: expected int or str, got bool True."),
        ({"split": [{"version": 1, "weight": -1}]}, "split[0].weight: must be at least 0, got -1.0."),
        ({"split": [{}]}, "split[0]: name either a version of the model or another model."),
        ({"split": [{"version": 1}, {"versio": 2}]}, "split[1].versio: there is no such key."),
        ({"shadow": [{"version": 1, "percent": 101}]}, "shadow[0].percent: must be at most 100, got 101.0."),
        ({"fallback": [{}]}, "fallback[0]: name either a version of the model or another model."),
        ({"fallback": [{"version": 1, "value": 2}]}, "fallback[0]: name either a version or a value."),
        ({"ensemble": {}}, "ensemble.members: this key is required."),
        (
            {"ensemble": {"members": [{"version": 1}], "need": 2}},
            "ensemble: need is 2, and there are 1 members.",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_key(data, told):
    with pytest.raises(ConfigError) as refused:
        structure(data, Route)

    assert refused.value.message == told
