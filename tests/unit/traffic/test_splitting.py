"""Who is in which share of a split, and who moves when it changes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

from prism_core.traffic.splitting import Split

USERS = [f"user-{number}".encode() for number in range(4000)]
# For properties, which are asked of many sets of shares.
SOME = USERS[:300]
UNLIKELY = 1e-6

names = st.lists(st.integers(1, 10**6).map("m/{}".format), min_size=2, max_size=6, unique=True)
weights = st.floats(0.05, 100)


def split(shares: dict[str, float], model: str = "churn") -> Split[str]:
    return Split(model, ((name, weight, name) for name, weight in shares.items()))


def chosen(shares: dict[str, float], model: str = "churn", users: list[bytes] = USERS) -> list[str | None]:
    one = split(shares, model)
    return [one.choose(user) for user in users]


def moves(before: list[str | None], after: list[str | None]) -> Counter[tuple[str | None, str | None]]:
    return Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])


def fits(counts: Counter[str | None], shares: dict[str, float]) -> float:
    """Return how probable counts this far off are, where each share gets what its weight says."""
    total = sum(shares.values())
    expected = [counts.total() * weight / total for weight in shares.values()]
    return float(chisquare([counts[name] for name in shares], expected).pvalue)


@pytest.mark.parametrize("weights", [(1, 1), (9, 1), (99, 1), (1, 2, 3), (5, 1, 1, 1), (1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("model", ["churn", "fraud"])
def test_each_share_has_as_many_users_as_its_weight_says(weights, model):
    """By a chi-square test; the hash has no chance in it, so it holds always or never."""
    shares = {f"{model}/{number}": float(weight) for number, weight in enumerate(weights, 1)}

    assert fits(Counter(chosen(shares, model)), shares) > 0.001


@pytest.mark.parametrize("key", [b"", b"sticky"])
def test_a_share_without_weight_gets_nothing(key):
    one = split({"m/1": 0, "m/2": 3, "m/3": 0})

    assert {one.choose(key) for _ in range(100)} == {"m/2"}
    assert split({"m/1": 0}).choose(key) is split({}).choose(key) is None


def test_without_a_key_each_request_is_drawn_for_itself():
    shares = {"m/1": 90.0, "m/2": 9.0, "m/3": 1.0}
    one = split(shares)

    assert fits(Counter(one.choose() for _ in range(20_000)), shares) > UNLIKELY


def test_from_10_to_20_percent_10_percent_of_the_users_move_and_only_to_what_has_grown():
    counts = moves(chosen({"m/3": 90, "m/4": 10}), chosen({"m/3": 80, "m/4": 20}))

    assert set(counts) == {("m/3", "m/4")}
    moved = counts.total() / len(USERS)
    assert moved == pytest.approx(0.10, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(names, st.data())
def test_where_one_weight_grows_keys_come_to_its_share_and_nothing_else_moves(names, data):
    shares = {name: data.draw(weights) for name in names}
    grown = data.draw(st.sampled_from(names))
    after = shares | {grown: shares[grown] * data.draw(st.floats(1.01, 10))}

    assert {to for _, to in moves(chosen(shares, users=SOME), chosen(after, users=SOME))} <= {grown}


@settings(max_examples=50, deadline=None)
@given(names, st.data())
def test_a_share_that_comes_or_goes_moves_its_own_users_alone(names, data):
    shares = {name: data.draw(weights) for name in names}
    gone = data.draw(st.sampled_from(names))
    others = {name: weight for name, weight in shares.items() if name != gone}

    assert {was for was, _ in moves(chosen(shares, users=SOME), chosen(others, users=SOME))} <= {gone}


@settings(max_examples=50, deadline=None)
@given(names, st.data())
def test_neither_the_order_of_shares_nor_the_scale_of_weights_matters(names, data):
    shares = {name: data.draw(weights) for name in names}
    other_order = {name: shares[name] * 4 for name in data.draw(st.permutations(names))}

    assert chosen(shares, users=SOME) == chosen(other_order, users=SOME)


def test_the_weights_of_a_rollout_move_each_user_once():
    steps = [chosen({"m/3": 100 - weight, "m/4": weight}) for weight in (1, 5, 10, 25, 50, 75, 100)]

    assert all(set(moves(*pair)) == {("m/3", "m/4")} for pair in pairwise(steps))


def test_the_users_of_one_models_canary_are_not_those_of_anothers():
    """Told by a test of independence, where both split among things of the same names."""
    shares = {"rf/1": 1.0, "rf/2": 1.0}
    both = Counter(zip(chosen(shares, "churn"), chosen(shares, "fraud"), strict=True))
    quarter = len(USERS) / 4

    distance = sum((both[pair] - quarter) ** 2 / quarter for pair in [(a, b) for a in shares for b in shares])
    assert distance < chi2.isf(UNLIKELY, df=3)


def test_all_processes_choose_alike():
    """Another process, with another seed of `hash`, as other gateways and a restart have."""
    asked = "from prism_core.traffic.splitting import Split\n"
    asked += "one = Split('churn', [('m/3', 90, 'm/3'), ('m/4', 10, 'm/4')])\n"
    asked += "print(*(one.choose(b'user-%d' % number) for number in range(4000)))"

    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert said.stdout.split() == chosen({"m/3": 90, "m/4": 10})


def test_who_is_where_stays_as_it_was_in_earlier_releases():
    """A change of the hash would move everybody on an upgrade."""
    users = [f"u{number}".encode() for number in range(12)]
    one = split({"churn/3": 2, "churn/4": 1, "churn/5": 1})

    assert "".join(str(one.choose(user))[-1] for user in users) == "454543353434"


def test_weights_as_small_and_as_large_as_numbers_are():
    shares = {"m/1": 5e-324, "m/2": 5e-324, "m/3": 1e308, "m/4": 1e308}

    assert set(chosen({name: shares[name] for name in ("m/1", "m/2")})) == {"m/1", "m/2"}
    assert set(chosen(shares)) == {"m/3", "m/4"}
    assert {split(shares).choose() for _ in range(200)} == {"m/3", "m/4"}
