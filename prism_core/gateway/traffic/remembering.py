"""Remembers answers, so that somebody can judge them later: a tap of each gateway process.

On the way of a request this is one record in a list. So many a second are remembered and no more: what is
learned from feedback needs no more, and a journal that grows with the traffic would end up costing it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prism_core.gateway.prediction import Prediction
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.kinds import Remembered, TrafficRecord, Unremembered
from prism_core.gateway.traffic.routed import Routed, Tap
from prism_core.traffic.comparing.answers import READABLE, plain

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# In one process. Of 40,000 answers a second that are offered so many are remembered for three hundredths of a
# processor, and no memory that grows (`python -m bench.feedback`).
MOST_A_SECOND = 2_000
# A longer answer is remembered without what it said: it can be judged by a reward.
MAX_ANSWER_BYTES = 4096


class Remembering:
    """What one process remembers of answers.

    Parameters
    ----------
    record
        Takes what is remembered.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, record: Callable[[TrafficRecord], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._record = record
        self._clock = clock
        self._until = 0.0
        self._left = 0
        self._missed: Counter[str] = Counter()

    def tap(self, routed: Routed) -> Tap | None:
        """Return what remembers the answers of a route; None where nothing of it is to be judged."""
        wanted = routed.route.remembers
        if wanted is None:
            return None
        percent, chances = wanted.percent, Chances(routed)

        def remember(ended: Ended) -> None:
            if isinstance(ended.outcome, Prediction) and (percent >= 100 or random.random() * 100 < percent):
                if self._has_room():
                    self._record(remembered(ended, ended.outcome, chances.of(ended.call.arm)))
                else:
                    self._miss(routed.model)

        return remember

    def _has_room(self) -> bool:
        now = self._clock()
        if now >= self._until:
            self._until, self._left = now + 1.0, MOST_A_SECOND
        self._left -= 1
        return self._left >= 0

    def _miss(self, model: str) -> None:
        if not self._missed:
            asyncio.get_running_loop().call_later(1.0, self.tell_missed)
        self._missed[model] += 1

    def tell_missed(self) -> None:
        """Tell how many answers were too many."""
        missed, self._missed = self._missed, Counter()
        for model, count in missed.items():
            self._record(Unremembered(model, count))


class Chances:
    """With what probability the split of a route chooses its arms; reckoned again when weights change."""

    def __init__(self, routed: Routed) -> None:
        self._routed = routed
        self._shares: Mapping[str, float] = {}
        self._by_arm: Mapping[str, float] = {}

    def of(self, arm: str) -> float:
        """Return the probability of an arm; 0 for one that is not in the split."""
        shares = self._routed.shares
        if shares is not self._shares:
            self._shares, self._by_arm = shares, chances_of(shares, self._routed.lanes)
        return self._by_arm.get(arm, 0.0)


def chances_of(shares: Mapping[str, float], lanes: Mapping[str, Lane]) -> dict[str, float]:
    """Return with what probability each arm is chosen; several references may mean one."""
    whole = sum(shares.values())
    chances: dict[str, float] = {}
    for reference, weight in shares.items() if whole else ():
        arm = arm_of(reference, lanes)
        chances[arm] = chances.get(arm, 0.0) + weight / whole
    return chances


def arm_of(reference: str, lanes: Mapping[str, Lane]) -> str:
    """Return the version that a reference means, as arms are called; itself where it means nothing now."""
    lane = lanes.get(reference)
    return f"{lane.model}/{lane.version}" if lane is not None else reference


def remembered(ended: Ended, prediction: Prediction, chance: float) -> Remembered:
    """Return what is needed to judge an answer later."""
    call, lane = ended.call, ended.lane
    readable = plain(prediction.media_type) in READABLE and len(prediction.body) <= MAX_ANSWER_BYTES
    return Remembered(
        call.at,
        call.request,
        call.model,
        call.revision,
        call.arm,
        call.answered,
        0.0 if call.rule else chance,
        ended.sender.caller,
        lane.signature.predictions if lane is not None else "",
        prediction.media_type if readable else "",
        bytes(prediction.body) if readable else b"",
    )
