"""What is wrong with a route by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.converters import structure
from prism_core.errors import ConfigError
from prism_core.traffic.route import Route

TWO = [{"version": 3}, {"version": 4}]

FLAWED = [
    (
        {"split": [{"version": 3, "weight": 0}]},
        "split: no share has a weight above 0, so nobody would answer.",
    ),
    ({"split": [*TWO, {"version": 3}]}, "split[2]: 3 is there already, as split[0]."),
    (
        {"split": [{"model": "rf"}, {"model": "rf@latest"}]},
        "split[1]: rf@latest is there already, as split[0].",
    ),
    ({"split": TWO, "ensemble": {"members": TWO}}, "ensemble: a route has either a split or an ensemble."),
    ({"split": [{"version": 0}]}, "split[0].version: versions are counted from 1, got 0."),
    ({"split": [{"version": "3"}]}, "split[0].version: '3' is text, and no alias."),
    (
        {"shadow": [{"version": "Champion"}]},
        "shadow[0].version: 'Champion' is neither a number nor an alias.",
    ),
    ({"rules": [{"model": "rf/0", "when": "true"}]}, "rules[0].model: 'rf/0' is no model."),
    ({"split": [{"version": 3, "weight": float("inf")}]}, "split[0].weight: expected a number, got inf."),
    ({"timeout_ms": float("inf")}, "timeout_ms: expected a number, got inf."),
    (
        {"fallback": [{"value": {"p": [0, float("nan")]}}]},
        "fallback[0].value.p[1]: expected a number, got nan.",
    ),
    ({"split": [{"version": 3, "weight": float("nan")}]}, "split[0].weight: must be at least 0, got nan."),
    (
        {"sticky": "header:X Y"},
        "sticky: 'header:X Y' is no sticky key: header:NAME, cookie:NAME, cookie, key or address.",
    ),
    (
        {"sticky": "session"},
        "sticky: 'session' is no sticky key: header:NAME, cookie:NAME, cookie, key or address.",
    ),
    ({"fallback": [{"version": 2}, {"version": 2}]}, "fallback[1]: 2 is there already, as fallback[0]."),
    (
        {"fallback": [{"value": 0}, {"version": 2}]},
        "fallback[1]: nobody ever comes here: the value before it always answers.",
    ),
    ({"fallback": [{"version": "latest"}]}, "fallback[0]: it is the one that is asked first."),
    (
        {"split": [{"version": 3}], "fallback": [{"version": 3}]},
        "fallback[0]: it is the one that is asked first.",
    ),
    ({"bandit": {}}, "bandit: it is about the shares of a split, and there is none."),
    (
        {"ensemble": {"members": TWO}, "guard": {}},
        "guard: it is about the shares of a split, and there is none.",
    ),
    (
        {"split": TWO, "experiment": {"control": 5}},
        "experiment.control: 5 is not in the split, which has 3, 4.",
    ),
]


@pytest.mark.parametrize(("data", "told"), FLAWED)
def test_a_flaw_is_told_with_its_key(data, told):
    with pytest.raises(ConfigError) as refused:
        structure(data, Route)

    assert refused.value.message == told


def test_all_flaws_are_told_at_once():
    with pytest.raises(ConfigError) as refused:
        structure({"sticky": "x", "bandit": {}, "fallback": [{"version": "latest"}]}, Route, "routes.churn")

    told = refused.value.details["errors"]
    assert [one["path"] for one in told] == [
        "routes.churn.sticky",
        "routes.churn.fallback[0]",
        "routes.churn.bandit",
    ]


SOUND = [
    {},
    {"split": TWO, "fallback": [{"version": 3}, {"value": {"p": 0}}]},
    {"split": [{"version": "champion"}, {"model": "rf/2"}], "experiment": {"control": "champion"}},
    {"split": TWO[:1], "rules": [{"version": 4, "when": "true"}], "fallback": [{"version": 3}]},
    {"split": [{"version": 3}, {"version": 4, "weight": 0}], "fallback": [{"version": 3}]},
    {"split": TWO[:1], "guard": {}},
    {"split": TWO, "sticky": "cookie:session", "guard": {}, "bandit": {}},
]


@pytest.mark.parametrize("data", SOUND)
def test_what_goes_together_is_taken(data):
    assert list(structure(data, Route).flaws()) == []


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 100)), max_size=4))
def test_a_split_is_sound_where_somebody_answers_and_nobody_twice(shares):
    data = {"split": [{"version": version, "weight": weight} for version, weight in shares]}
    versions = [version for version, _ in shares]
    expected = len(set(versions)) == len(versions) and (not shares or any(weight for _, weight in shares))
    try:
        structure(data, Route)
        taken = True
    except ConfigError:
        taken = False
    assert taken == expected
