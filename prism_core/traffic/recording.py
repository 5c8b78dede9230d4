"""Which requests are kept to be replayed, and for how long; see `prism_core.gateway.traffic.recordings`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.sizes import Bytes
from prism_core.traffic.targets import Percent

MB = 1024 * 1024


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
    max_size: Annotated[Bytes, Meta(ge=MB)] = 256 * MB
    max_age_s: Annotated[float, Meta(gt=0)] = 7 * 86_400.0
    redact: tuple[str, ...] = ()

    @property
    def segment_bytes(self) -> int:
        """How large a file gets before the next one begins: what goes is always a whole file."""
        return max(64 * 1024, min(16 * MB, self.max_size // 16))

    @property
    def segment_s(self) -> float:
        """How long a file is written to before the next one begins."""
        return self.max_age_s / 16

    @property
    def most_bytes(self) -> int:
        """What a body may have at most that is kept: a few must not be all that there is."""
        return min(self.max_size // 8, 8 * MB)


@attrs.frozen
class Kept:
    """A file of a recording, as bounds see it: its name, its size, when its first request came."""

    name: str
    size_bytes: int
    made: float


def outlived(files: Iterable[Kept], max_size: int, oldest: float) -> list[str]:
    """Return the files that have to go: what began before ``oldest``, and the oldest beyond ``max_size``."""
    going, total = [], 0
    for file in sorted(files, key=lambda one: one.made, reverse=True):
        total += file.size_bytes
        if total > max_size or file.made < oldest:
            going.append(file.name)
    return going
