"""What a bandit knows of its arms, and the weights that it makes of that.

Thompson sampling (Thompson 1933; Agrawal and Goyal, COLT 2012) keeps a Beta distribution for each arm, and
gives it the probability with which it is the best: drawn for each request, that is the same as drawing
from all posteriors, and one set of weights serves many requests until more is known (Chapelle and Li,
NIPS 2011). Exp3 (Auer, Cesa-Bianchi, Freund and Schapire, SIAM J. Comput. 2002) believes nothing about
where rewards come from; it weighs each by the probability with which its arm had been chosen, as
Clipper does (Crankshaw et al., NSDI 2017, section 5). Feedback may come late and in any order: both
only add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import attrs

from prism_core.traffic.bandit import Bandit
from prism_core.traffic.best import chances_of_best


@attrs.frozen
class Arm:
    """What is known of one arm.

    Parameters
    ----------
    pulls, total
        How many rewards came for it, and their sum.
    good, bad
        The sums of rewards, and of what was missing to 1; older ones faded.
    loss
        What Exp3 reckons it would have lost, had all requests been its own; older ones faded.
    """

    pulls: int = 0
    total: float = 0.0
    good: float = 0.0
    bad: float = 0.0
    loss: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of all its rewards, 0 without any."""
        return self.total / self.pulls if self.pulls else 0.0


NEW = Arm()
# By the reference of the arm.
Learned = Mapping[str, Arm]


def learn(bandit: Bandit, learned: Learned, arm: str, reward: float, chance: float) -> dict[str, Arm]:
    """Return what is known after a reward in [0, 1] for ``arm``, chosen with probability ``chance``."""
    fade = math.exp(-1.0 / bandit.memory)
    rate = _rate(learned)
    known = {name: _faded(one, fade) for name, one in learned.items()}
    was = known.get(arm, NEW)
    known[arm] = Arm(
        was.pulls + 1,
        was.total + reward,
        was.good + reward,
        was.bad + 1.0 - reward,
        # A little more than the chance: a rare arm must not weigh without bounds (Neu, NIPS 2015).
        was.loss + (1.0 - reward) / (chance + rate / 2),
    )
    return known


def weights(bandit: Bandit, learned: Learned, arms: Iterable[str]) -> dict[str, float]:
    """Return with what probability each of ``arms`` is to be chosen; together they are 1."""
    names = sorted(set(arms))
    known = [learned.get(name, NEW) for name in names]
    chances = _exp3(known) if bandit.algorithm == "exp3" else _thompson(known)
    floor = min(bandit.floor_percent / 100, 1 / max(1, len(names)))
    left = 1 - floor * len(names)
    return {name: floor + left * chance for name, chance in zip(names, chances, strict=True)}


def _faded(arm: Arm, fade: float) -> Arm:
    return Arm(arm.pulls, arm.total, arm.good * fade, arm.bad * fade, arm.loss * fade)


def _thompson(arms: list[Arm]) -> list[float]:
    return chances_of_best([(1 + arm.good, 1 + arm.bad) for arm in arms])


def _exp3(arms: list[Arm]) -> list[float]:
    rate = _rate({str(place): arm for place, arm in enumerate(arms)})
    least = min((arm.loss for arm in arms), default=0.0)
    bids = [math.exp(-rate * (arm.loss - least)) for arm in arms]
    return [bid / sum(bids) for bid in bids]


def _rate(learned: Learned) -> float:
    """Return how fast Exp3 learns: slower, the more it knows (Bubeck and Cesa-Bianchi 2012, theorem 3.1)."""
    arms = max(2, len(learned))
    heard = sum(arm.good + arm.bad for arm in learned.values())
    return math.sqrt(math.log(arms) / (arms * max(1.0, heard)))
