"""Versions that answer together."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from prism_core.traffic.targets import NotNegative, Share, Target

Combine = Literal["mean", "weighted", "vote", "quorum", "max_probability", "stacking"]
# Where weights count. Elsewhere they would be a wish that nobody hears.
WEIGHED = ("weighted", "vote")
# Each request is computed by all of them.
MAX_MEMBERS = 16


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
        How many members must have answered at the deadline, and for ``quorum`` agree; fewer are a failure.
        ``stacking`` needs them all.
    deadline_ms
        When it answers with the members that made it; 0: the route's ``timeout_ms``, or the request's
        deadline.
    stack
        What is asked with the members' answers, for ``stacking``.
    """

    members: tuple[Share, ...]
    combine: Combine = "mean"
    need: Annotated[int, Meta(ge=1)] = 1
    deadline_ms: NotNegative = 0.0
    stack: Target | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot answer."""
        for wrong in (self._wrong_members(), self._wrong_need(), self._wrong_combine()):
            if wrong:
                raise ValueError(wrong)

    @property
    def needed(self) -> int:
        """How many members must have answered."""
        return len(self.members) if self.combine == "stacking" else self.need

    def _wrong_members(self) -> str:
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            return f"an ensemble has 1 to {MAX_MEMBERS} members, not {len(self.members)}."
        names = [(one.version, one.model) for one in self.members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            return f"the member {twice[1] or twice[0]!r} is named twice; a weight makes it count more."
        return ""

    def _wrong_need(self) -> str:
        if self.need > len(self.members):
            return f"need is {self.need}, and there are {len(self.members)} members."
        if self.combine == "quorum" and self.need < 2:
            return "a quorum needs at least two members that agree: set need."
        return ""

    def _wrong_combine(self) -> str:
        weights = {one.weight for one in self.members}
        if self.combine in WEIGHED:
            return "" if min(weights) > 0 else "a member of weight 0 has no part in the answer: leave it out."
        if len(weights) > 1:
            return f"weights count for {' and '.join(WEIGHED)} only; combine is {self.combine}."
        if (self.combine == "stacking") != (self.stack is not None):
            return "stacking asks a version with the members' answers: name it in stack, and only there."
        return ""
