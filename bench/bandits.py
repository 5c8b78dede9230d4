"""How well bandits choose, on simulated requests: ``python -m bench.bandits``.

Nothing here takes time: both algorithms are asked what they would do, with fixed seeds. Regret is what was
lost beside always choosing the better version, in rewards.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from statistics import mean

from prism_core.traffic.bandit import Bandit
from prism_core.traffic.learning import NEW, learn, weights

# Of versions a and b, for the number of a request: how probable it is that a label says "right".
Rates = Callable[[int], tuple[float, float]]
ARMS = "ab"
SEEDS = range(5)


def simulate(
    bandit: Bandit, rates: Rates, requests: int, *, delay: int = 0, every: int = 50, seed: int = 0
) -> tuple[list[float], list[dict[str, float]]]:
    """Return regret and weights after each ``every`` requests; labels come ``delay`` requests late."""
    draw = random.Random(seed)
    learned, waiting = dict.fromkeys(ARMS, NEW), deque[tuple[str, float, float]]()
    now, regret = weights(bandit, learned, ARMS), 0.0
    regrets, told = [], []
    for number in range(requests):
        right = dict(zip(ARMS, rates(number), strict=True))
        arm = "a" if draw.random() < now["a"] else "b"
        regret += max(right.values()) - right[arm]
        waiting.append((arm, float(draw.random() < right[arm]), now[arm]))
        if number % every == every - 1:
            while len(waiting) > delay:
                learned = learn(bandit, learned, *waiting.popleft())
            now = weights(bandit, learned, ARMS)
            regrets.append(regret)
            told.append(now)
    return regrets, told


def steady(number: int) -> tuple[float, float]:
    """Return rates that stay: b is better by a tenth."""
    return 0.7, 0.8


def turning(number: int) -> tuple[float, float]:
    """Return rates of which a's becomes the better one after 20,000 requests."""
    return (0.2, 0.6) if number < 20_000 else (0.9, 0.6)


def found_after(bandit: Bandit, *, every: int = 100) -> str:
    """Return after how many requests most go to what has become good."""
    _, told = simulate(bandit, turning, 60_000, every=every, seed=1)
    late = next((place for place in range(20_000 // every, len(told)) if told[place]["a"] > 0.5), None)
    return "never" if late is None else f"{(late + 1) * every - 20_000:,}"


def main() -> None:
    """Simulate and print."""
    print(
        "regret after 2,500, 5,000, 10,000 and 20,000 requests (mean of 5); drawing evenly: 1,000 at the end"
    )
    for algorithm in ("thompson", "exp3"):
        for delay in (0, 1_000):
            bandit = Bandit(algorithm, 0.0, 1e12)
            runs = [simulate(bandit, steady, 20_000, delay=delay, seed=seed)[0] for seed in SEEDS]
            ends = [mean(run[len(run) * part // 8 - 1] for run in runs) for part in (1, 2, 4, 8)]
            print(f"{algorithm:9} labels {delay:5} late: {', '.join(f'{end:.0f}' for end in ends)}")
    print("a bad version becomes good after 20,000 requests; most go to it after so many more")
    for algorithm in ("thompson", "exp3"):
        for memory in (3_000.0, 10_000.0, 1e12):
            print(f"{algorithm:9} memory {memory:9,.0f}: {found_after(Bandit(algorithm, 1.0, memory))}")


if __name__ == "__main__":
    main()
