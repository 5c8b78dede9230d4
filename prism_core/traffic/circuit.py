"""When a version, or a replica, that fails is left out for a while."""

from __future__ import annotations

from typing import Annotated

import attrs
from msgspec import Meta


@attrs.frozen
class CircuitPolicy:
    """After so many ``failures`` in a row nothing goes through for ``pause_s``, then one call tries.

    The pause doubles up to ``longest_s`` while that fails too.
    """

    failures: Annotated[int, Meta(ge=1)] = 5
    pause_s: Annotated[float, Meta(gt=0)] = 1.0
    longest_s: Annotated[float, Meta(gt=0)] = 30.0
