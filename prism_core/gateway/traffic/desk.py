"""The leader's end of what is found out about routed requests, its own and its followers'."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs
import structlog

from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.gateway.traffic.routed import Routing

Record = TypeVar("Record")
Hear = Callable[[Any], None]

log = structlog.get_logger("prism.routes")


@attrs.define(eq=False)
class Desk:
    """Gets every `TrafficRecord` of all gateways and hands it to whoever asked for its kind.

    Attributes
    ----------
    routing
        What the routes of this process share; its taps are set before anything is served.
    """

    routing: Routing = attrs.field(init=False)
    _wanted: dict[type, list[Hear]] = attrs.field(factory=lambda: defaultdict(list), init=False)

    def __attrs_post_init__(self) -> None:
        """Let this process's own records come here too."""
        self.routing = Routing(self.hear)

    def want(self, kind: type[Record], hear: Callable[[Record], None]) -> None:
        """Let ``hear`` get every record of a kind; it must be quick."""
        self._wanted[kind].append(hear)

    def hear(self, record: TrafficRecord) -> None:
        """Take one record."""
        for hear in self._wanted.get(type(record), ()):
            try:
                hear(record)
            except Exception:  # a fault of ours: neither a request nor a follower's connection ends by it
                log.exception("traffic.not_heard", kind=type(record).__name__)

    def hear_all(self, records: Iterable[TrafficRecord]) -> None:
        """Take what a follower reports."""
        for record in records:
            self.hear(record)
