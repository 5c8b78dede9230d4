"""One alpha for all that is tested, once: whatever is tested together errs with that probability at most."""

from __future__ import annotations

import math


def shared(alpha: float, tests: int) -> float:
    """Return what each of ``tests`` may err with (Bonferroni); they may depend on each other in any way."""
    return alpha / max(1, tests)


def of_window(alpha: float, number: int) -> float:
    """Return what the window ``number``, from 1, may err with; all that there ever are add up to alpha.

    The parts are ``6 / (pi * number)**2``.
    """
    return alpha * 6 / (math.pi * number) ** 2
