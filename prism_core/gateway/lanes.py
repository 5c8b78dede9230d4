"""What makes the lanes of a gateway process."""

from __future__ import annotations

from collections.abc import Callable

from prism_core.gateway.caching import Caching
from prism_core.gateway.lane import Lane
from prism_core.gateway.troubles import Moved
from prism_core.manifest import Manifest
from prism_core.settings import Settings
from prism_core.specs import CallRecord
from prism_core.types import Signature

Record = Callable[[CallRecord], None]
MakeLane = Callable[[Manifest, Signature], Lane]


def lane_maker(settings: Settings, caching: Caching, record: Record, moved: Moved) -> MakeLane:
    """Return what makes the lane of a version.

    ``record`` takes the records of its calls, ``moved`` hears of the circuits of its replicas.
    """

    def make_lane(manifest: Manifest, signature: Signature) -> Lane:
        answers, hold_s = caching.of(manifest), settings.limits.hold_s
        return Lane(manifest, signature, cache=answers, record=record, hold_s=hold_s, moved=moved)

    return make_lane
