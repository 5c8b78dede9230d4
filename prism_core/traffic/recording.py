"""Which requests are kept to be replayed."""

from __future__ import annotations

from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.sizes import Bytes
from prism_core.traffic.targets import Percent


@attrs.frozen
class Recording:
    """Which requests are kept, and what of them.

    Parameters
    ----------
    percent
        So many in a hundred.
    max_size, max_age_s
        The oldest go beyond that.
    redact
        Names of columns, inputs or keys of JSON bodies whose values are not kept.
    """

    percent: Percent = 100.0
    max_size: Bytes = 256 * 1024 * 1024
    max_age_s: Annotated[float, Meta(gt=0)] = 7 * 86_400.0
    redact: tuple[str, ...] = ()
