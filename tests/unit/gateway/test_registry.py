"""References, aliases and what they lead to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import IllegalTransition
from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.registry import Model, Registry, Version, lanes_of, split
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of


def version(number, state=State.READY, model="churn"):
    manifest = manifest_of(model, number)
    lane = Lane(manifest, SIGNATURE, cache=None, record=ignore) if state is State.READY else None
    return Version(manifest, SIGNATURE, state, lane=lane)


def model_of(*versions, ceiling=None, **named):
    last = max((v.manifest.version for v in versions), default=0)
    return Model("churn", last, ceiling, {v.manifest.version: v for v in versions}, named)


def registry_of(*models):
    events = []
    registry = Registry(events.append, clock=lambda: 7.0)
    registry.models = {model.name: model for model in models}
    registry.refresh()
    return registry, events


STOPPED, FAILED = State.STOPPED, State.FAILED


@pytest.mark.parametrize(
    ("model", "latest"),
    [
        (model_of(version(1), version(2)), 2),
        (model_of(version(1), version(2, STOPPED)), 1),
        (model_of(version(1), version(2), ceiling=1), 1),
        (model_of(version(1), version(2), version(3), ceiling=2), 2),
        (model_of(version(1), version(2, FAILED), version(3), ceiling=2), 1),
        (model_of(version(1, STOPPED), version(2), ceiling=1), None),
        (model_of(version(1, STOPPED)), None),
    ],
)
def test_latest_is_the_newest_that_serves_below_the_ceiling(model, latest):
    assert model.aliases.get("latest") == latest
    lanes = lanes_of({"churn": model})
    assert ("churn" in lanes) == (latest is not None)


def test_every_reference_has_its_lane():
    registry, _ = registry_of(model_of(version(1), version(2), champion=1))

    assert {ref: lane.manifest.version for ref, lane in registry.lanes.items()} == {
        "churn": 2,
        "churn@latest": 2,
        "churn@champion": 1,
        "churn/1": 1,
        "churn/2": 2,
    }


def test_lanes_are_replaced_whole():
    registry, _ = registry_of(model_of(version(1)))
    before = registry.lanes

    registry.put(version(2))
    registry.models["churn"].last_version = 2
    registry.refresh()

    assert "churn/2" not in before
    assert "churn/2" in registry.lanes


def test_only_an_alias_that_leads_elsewhere_is_told():
    registry, events = registry_of(model_of(version(1), version(2), champion=1))
    events.clear()

    registry.models["churn"].ceiling = 1
    registry.refresh()

    assert [(e.name, e.version, e.facts["alias"]) for e in events] == [("alias.moved", 1, "latest")]


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("churn", ("churn", "", "")), ("churn@a", ("churn", "a", "")), ("churn/3", ("churn", "", "3"))],
)
def test_a_reference_is_split(reference, parts):
    assert split(reference) == parts


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("chrun", "no model 'chrun'", "'churn'"),
        ("zzz", "no model 'zzz'", "prism list"),
        ("churn/9", "no version 9; it has 1, 2, 3", ""),
        ("churn/x", "no version x", ""),
        ("churn@champoin", "no alias 'champoin'", "churn@champion"),
        ("churn/1", "Version 1 of 'churn' is STOPPED", "prism start"),
        ("churn/2", "is FAILED", "prism logs"),
        ("churn/3", "is STARTING", "ready"),
        ("churn@champion", "is STOPPED", "prism start"),
        ("churn", "Version 3 of 'churn' is STARTING", "ready"),
    ],
)
def test_a_miss_is_explained(reference, message, hint):
    registry, _ = registry_of(
        model_of(version(1, STOPPED), version(2, FAILED), version(3, State.STARTING), champion=1)
    )

    error = registry.explain(reference)

    assert error.status == (503 if "FAILED" in message else 404)
    assert message in error.message
    assert hint in error.hint


def test_a_rollback_that_leads_nowhere_is_explained():
    registry, _ = registry_of(model_of(version(1, STOPPED), version(2), ceiling=1))

    error = registry.explain("churn")

    assert "holds 'churn' at version 1 or below" in error.message
    assert "prism alias churn latest 2" in error.hint


def test_the_previous_version_is_the_next_lower_one_that_is_ready():
    model = model_of(version(1), version(2, STOPPED), version(3))

    assert model.previous.manifest.version == 1


@pytest.mark.parametrize("earlier", [[], [version(1, STOPPED)]])
def test_without_an_earlier_ready_version_there_is_no_rollback(earlier):
    with pytest.raises(IllegalTransition, match="no earlier version"):
        _ = model_of(*earlier, version(2)).previous


def test_an_illegal_move_changes_nothing():
    registry, events = registry_of(model_of(version(1)))
    ready = registry.version("churn")
    events.clear()

    with pytest.raises(IllegalTransition):
        registry.move(ready, State.STOPPED)

    assert (ready.state, events) == (State.READY, [])


def test_a_move_is_told():
    registry, events = registry_of(model_of(version(1)))

    registry.move(registry.version("churn"), State.DRAINING, reason="because")

    assert (events[-1].name, events[-1].version, events[-1].at) == ("model.draining", 1, 7.0)
    assert events[-1].facts == {"reason": "because"}


states = st.sampled_from([State.READY, State.STOPPED, State.FAILED])


@given(
    st.dictionaries(st.integers(1, 6), states, min_size=1),
    st.none() | st.integers(1, 6),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 6)),
)
def test_no_reference_ever_leads_to_a_version_that_does_not_serve(found, ceiling, named):
    model = model_of(*(version(n, s) for n, s in found.items()), ceiling=ceiling, **named)
    lanes = lanes_of({"churn": model})
    ready = {n for n, s in found.items() if s is State.READY}

    assert {lane.manifest.version for lane in lanes.values()} <= ready
    assert {ref for ref in lanes if "/" in ref} == {f"churn/{n}" for n in ready}
    assert {a for a in named if f"churn@{a}" in lanes} == {a for a, n in named.items() if n in ready}
    allowed = [n for n in ready if ceiling is None or n <= ceiling]
    assert (lanes["churn"].manifest.version if "churn" in lanes else None) == max(allowed, default=None)
