"""A second replica is asked where the first is slow.

Dean and Barroso, The Tail at Scale, CACM 56:2, 2013.
"""

from __future__ import annotations

from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.traffic.targets import NotNegative, Percent


@attrs.frozen
class Hedge:
    """When a second replica is asked.

    Parameters
    ----------
    after_ms
        So long after the first; 0: after the time in which ``percentile`` of the answers came lately.
    budget_percent
        So many second questions in a hundred requests, at most.
    """

    after_ms: NotNegative = 0.0
    percentile: Annotated[float, Meta(gt=0, le=100)] = 95.0
    budget_percent: Percent = 5.0
