"""Weights that are learned from feedback: what a bandit is told. `learning` is what it makes of rewards."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from prism_core.traffic.targets import Percent


@attrs.frozen
class Bandit:
    """How the weights of a split are learned.

    Parameters
    ----------
    algorithm
        ``thompson`` learns faster; ``exp3`` holds whatever the rewards do, also against somebody's will.
    floor_percent
        So much of the traffic goes to each share whatever has been learned, so that one which becomes
        good is found.
    memory
        A reward counts for a third when so many have come after it, and fades away: what was, matters less
        than what is.
    """

    algorithm: Literal["thompson", "exp3"] = "thompson"
    floor_percent: Percent = 1.0
    memory: Annotated[float, Meta(ge=1)] = 10_000.0
