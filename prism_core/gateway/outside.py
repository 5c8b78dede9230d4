"""What a host can say of the world outside, which is known when the public listener accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from prism_core.serving import Surroundings


def _untold(*told: Any, **more: Any) -> None:
    """Write nothing: there is no access log."""


@attrs.frozen
class Outside:
    """Where the public listener is, and where its requests are told; see `prism_core.serving.Host`."""

    surroundings: Surroundings = attrs.field(factory=lambda: Surroundings("127.0.0.1", 0))
    note: Callable[..., None] = _untold
