"""Which answers of a route can be judged later, and how a label is compared with them."""

from __future__ import annotations

import attrs

from prism_core.traffic.targets import NotNegative, Percent


@attrs.frozen
class Feedback:
    """What is remembered of answers, so that they can be judged when somebody knows what was right.

    Parameters
    ----------
    percent
        So many answers in a hundred.
    tolerance
        How far a number may be off to be worth nothing: the reward is ``1 - error / tolerance``, at least
        0. 0: numbers are equal to a label or not, as classes are.
    """

    percent: Percent = 100.0
    tolerance: NotNegative = 0.0
