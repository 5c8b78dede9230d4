"""Who must make room: the score by table, the choice by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.memory import MB, Holding, insufficient, needed_bytes, to_unload
from prism_core.gateway.use import HALF_LIFE_S, Use
from tests.unit.gateway.conftest import manifest_of


def held(name="a/1", **facts) -> Holding:
    return Holding(
        name, **({"size_bytes": 10 * MB, "idle_s": 60.0, "frequency": 10.0, "load_s": 0.1} | facts)
    )


@pytest.mark.parametrize(
    "goes_first",
    [{"idle_s": 600.0}, {"frequency": 1.0}, {"load_s": 0.01}, {"size_bytes": 100 * MB}],
    ids=lambda facts: next(iter(facts)),
)
def test_what_is_older_rarer_quicker_to_load_or_larger_goes_first(goes_first):
    assert to_unload([held(), held("b/1", **goes_first)], 1) == [held("b/1", **goes_first)]


def test_a_version_that_was_just_loaded_and_never_called_is_worth_something():
    assert held(idle_s=0.0, frequency=0.0).worth > held(idle_s=600.0, frequency=5.0).worth


HOLDINGS = st.lists(
    st.builds(
        Holding,
        st.uuids().map(str),
        st.integers(0, 10**9),
        st.floats(0, 1e6),
        st.floats(0, 1e6),
        st.floats(0, 1e3),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(HOLDINGS, st.integers(-10, 3 * 10**9))
def test_nothing_busy_or_pinned_goes_and_nothing_goes_needlessly(holdings, over):
    going = to_unload(holdings, over)
    freed = sum(one.size_bytes for one in going)

    assert all(one.may_go for one in going)
    assert freed >= over or len(going) == sum(one.may_go for one in holdings)
    assert not going or freed - going[-1].size_bytes < over


@given(HOLDINGS, st.integers(0, 3 * 10**9))
def test_what_goes_is_worth_no_more_than_what_stays_and_what_is_kept_warm_goes_last(holdings, over):
    going = to_unload(holdings, over)
    staying = [one for one in holdings if one.may_go and one not in going]

    assert max(((one.warm, one.worth) for one in going), default=(False, 0.0)) <= min(
        ((one.warm, one.worth) for one in staying), default=(True, float("inf"))
    )


@pytest.mark.parametrize(("own_bytes", "estimate", "need"), [(7, 100, 14), (0, 100, 200), (0, 0, 8)], ids=str)
def test_an_estimate_counts_only_before_the_first_load(own_bytes, estimate, need):
    manifest = manifest_of(memory_estimate_bytes=estimate, size_bytes=4)

    assert needed_bytes(manifest, own_bytes, 2) == need


def test_the_error_lists_what_holds_the_memory_the_largest_first():
    holders = [held(f"m{n}/1", size_bytes=n * MB, pinned=n == 7, busy=n == 6) for n in range(1, 8)]
    error = insufficient("new/1", 5 * MB, 30 * MB, holders)

    assert "'new/1' needs about 5 MB; 28 of 30 MB are in use by m7/1 7 MB (pinned), m6/1 6 MB (busy)" in str(
        error
    )
    assert "and 2 more" in error.message
    assert [one["version"] for one in error.details["holders"]] == [f"m{n}/1" for n in range(7, 0, -1)]


# --- use -----------------------------------------------------------------------------------------


def test_older_calls_count_for_less():
    use = Use()
    use.add(8, 1000.0)
    use.add(1, 1000.0 + HALF_LIFE_S)

    assert use.frequency(1000.0 + HALF_LIFE_S) == pytest.approx(5)
    assert use.last == 1000.0 + HALF_LIFE_S


@pytest.mark.parametrize(("now", "since", "idle_s"), [(50, 20, 10), (50, 45, 5), (30, 20, 0)])
def test_idle_time_begins_with_the_last_call_or_the_load(now, since, idle_s):
    use = Use()
    use.add(1, 40.0)

    assert use.idle_s(now, since) == idle_s


# --- when a version is unloaded for being idle -----------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "server_s", "limit_s"),
    [
        ({}, 0, 0),
        ({}, 60, 60),
        ({"idle_unload_s": 5.0}, 60, 5),
        ({"idle_unload_s": 0.0}, 60, 0),
        ({"min_replicas": 0}, 0, 300),
        ({"min_replicas": 0, "idle_unload_s": 5.0}, 0, 5),
        ({"min_replicas": 0, "pin": True, "idle_unload_s": 5.0}, 60, 0),
    ],
    ids=str,
)
def test_when_an_idle_version_is_unloaded(facts, server_s, limit_s):
    assert manifest_of(**facts).idle_limit_s(server_s) == limit_s


@pytest.mark.parametrize(
    ("facts", "bounds"),
    [
        ({}, (1, 1)),
        ({"replicas": 3}, (3, 3)),
        ({"min_replicas": 0}, (1, 1)),
        ({"max_replicas": 4}, (1, 4)),
        ({"min_replicas": 2, "max_replicas": 4}, (2, 4)),
        ({"min_replicas": 2}, (2, 2)),
    ],
    ids=str,
)
def test_replicas_stands_for_both_bounds(facts, bounds):
    manifest = manifest_of(**facts)

    assert (manifest.fewest, manifest.most) == bounds
