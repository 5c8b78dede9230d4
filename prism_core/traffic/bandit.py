"""Weights that are learned from feedback."""

from __future__ import annotations

from typing import Literal

import attrs

from prism_core.traffic.targets import Percent


@attrs.frozen
class Bandit:
    """How the weights of a split are learned.

    ``floor_percent`` of the traffic goes to each share whatever has been learned.
    """

    algorithm: Literal["thompson", "exp3"] = "thompson"
    floor_percent: Percent = 1.0
