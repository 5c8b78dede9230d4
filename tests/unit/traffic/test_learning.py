"""Bandits: the better arm gets the traffic, whatever comes when; what changes is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.bandits import simulate, steady
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.best import chances_of_best
from prism_core.traffic.learning import NEW, learn, weights

ALGORITHMS = ("thompson", "exp3")
FOREVER = 1e12
counts = st.floats(1, 1e6)


@given(beta=st.lists(st.tuples(counts, counts), min_size=1, max_size=5))
def test_chances_are_chances(beta):
    chances = chances_of_best(beta)

    assert all(0 <= chance <= 1 for chance in chances)
    assert sum(chances) == pytest.approx(1)


@pytest.mark.parametrize(
    "beta", [[(1, 1), (3, 9)], [(50, 40), (45, 50)], [(1e5, 1e5), (1.01e5, 1e5)], [(2, 2), (5e4, 4e4)]]
)
def test_chances_are_those_of_the_posteriors(beta):
    """Compared with the quadrature of scipy."""
    one, other = (stats.beta(*of) for of in beta)
    places = [of.mean() for of in (one, other)]
    exact, _ = integrate.quad(lambda x: one.pdf(x) * other.cdf(x), 0, 1, points=places, limit=500)

    assert chances_of_best(beta)[0] == pytest.approx(exact, abs=1e-3)


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    floor=st.floats(0, 100),
    rewards=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.floats(0.001, 1)), max_size=60),
)
def test_weights_are_a_distribution_with_a_floor(algorithm, floor, rewards):
    bandit = Bandit(algorithm, floor, memory=20)
    learned = dict.fromkeys("abc", NEW)
    for arm, reward, chance in rewards:
        learned = learn(bandit, learned, arm, reward, chance)

    found = weights(bandit, learned, "abc")

    assert sum(found.values()) == pytest.approx(1)
    assert all(weight >= min(floor / 100, 1 / 3) - 1e-9 for weight in found.values())
    assert sum(arm.pulls for arm in learned.values()) == len(rewards)


@given(rewards=st.permutations([("a", 1.0), ("a", 0.0), ("b", 0.3), ("b", 1.0), ("b", 0.0)]))
def test_thompson_does_not_mind_the_order(rewards):
    """Feedback comes when it comes; without fading only the sums count."""
    bandit = Bandit(memory=FOREVER)
    learned = dict.fromkeys("ab", NEW)
    for arm, reward in rewards:
        learned = learn(bandit, learned, arm, reward, 0.5)

    assert weights(bandit, learned, "ab")["a"] == pytest.approx(
        0.01 + 0.98 * chances_of_best([(2, 2), (2.3, 2.7)])[0], abs=1e-6
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_reward_moves_its_arm_up(algorithm):
    bandit = Bandit(algorithm)
    good = learn(bandit, dict.fromkeys("ab", NEW), "a", 1.0, 0.5)
    bad = learn(bandit, dict.fromkeys("ab", NEW), "a", 0.0, 0.5)

    assert weights(bandit, good, "ab")["a"] >= 0.5 > weights(bandit, bad, "ab")["a"]


# --- simulated ------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "most"), [("thompson", 60), ("exp3", 140)])
def test_regret_flattens(algorithm, most):
    """It grows like a logarithm, or a root: the second half of the time costs less than the first.

    Drawing evenly would have cost 500 after 10,000 requests.
    """
    runs = [simulate(Bandit(algorithm, 0, FOREVER), steady, 10_000, seed=seed) for seed in range(4)]
    halves, ends = ([regrets[place] for regrets, _ in runs] for place in (99, -1))

    assert sum(ends) / len(ends) < most
    assert sum(ends) - sum(halves) < sum(halves)
    assert all(told[-1]["b"] > 0.9 for _, told in runs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_late_feedback_costs_its_delay(algorithm):
    """While nothing comes both are drawn; then it goes on as it would have."""
    (prompt, _), (late, told) = (
        simulate(Bandit(algorithm, 0, FOREVER), steady, 8_000, delay=delay, seed=3) for delay in (0, 1_000)
    )

    assert told[-1]["b"] > 0.9
    assert late[-1] < prompt[-1] + 0.1 * 1_000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_bad_arm_that_becomes_good_is_found(algorithm):
    """Thanks to the floor it is asked now and then, and what it was fades."""
    _, told = simulate(
        Bandit(algorithm, 1.0, 2_000),
        lambda number: (0.2, 0.6) if number < 4_000 else (0.9, 0.6),
        9_000,
        seed=1,
    )

    assert told[79]["a"] < 0.05
    assert told[-1]["a"] > 0.9


def test_exp3_allows_for_chance():
    """An arm that is drawn nine times as often has nine times the losses, and is no worse for it."""
    bandit = Bandit("exp3", memory=FOREVER)
    learned = dict.fromkeys("ab", NEW)
    for number in range(1_000):
        arm, chance = ("b", 0.1) if number % 10 == 0 else ("a", 0.9)
        learned = learn(bandit, learned, arm, 0.5, chance)

    assert learned["a"].loss == pytest.approx(learned["b"].loss, rel=0.25)
