"""Versions that answer together."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from prism_core.traffic.targets import NotNegative, Share, Target


@attrs.frozen
class Ensemble:
    """Versions that answer together.

    Parameters
    ----------
    members
        All are asked; weights count for ``weighted`` and ``vote``.
    combine
        How their answers become one.
    need
        How many members must have answered at the deadline; fewer are a failure.
    deadline_ms
        When it answers with the members that made it; 0: the route's ``timeout_ms``, or the request's
        deadline.
    stack
        What is asked with the members' answers, for ``stacking``.
    """

    members: tuple[Share, ...]
    combine: Literal["mean", "weighted", "vote", "quorum", "max_probability", "stacking"] = "mean"
    need: Annotated[int, Meta(ge=1)] = 1
    deadline_ms: NotNegative = 0.0
    stack: Target | None = None
