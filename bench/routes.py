"""What a route adds to a prediction in the gateway: ``python -m bench.routes``.

As `bench.budget` measures it, from a request's bytes to those of its answer, with a replica that answers at
once: microseconds of the processor, and bytecodes of our Python, which do not move with the machine.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from bench import budget
from bench.bytecodes import asking, count
from prism_core.errors import ModelNotFound
from prism_core.gateway.lane import Lane
from prism_core.gateway.traffic.counted import CountedCalls
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.routed import Routed
from prism_core.gateway.traffic.shadows.shadows import shadows_of
from prism_core.specs import CallRecord
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Rule, Shadow, Share

SPLIT = (Share(1, weight=90), Share(2, weight=10))
# The last one goes to the other version by its rule, or not, which is the same work.
ROUTES: Mapping[str, Route | None] = {
    "no route": None,
    "a route to latest": Route(),
    "a split, drawn": Route(SPLIT),
    "a split, sticky by a header": Route(SPLIT, "header:X-User-ID"),
    "a split with a fallback": Route(SPLIT, fallback=(Fallback(1), Fallback(2))),
    "the same with a time limit": Route(SPLIT, fallback=(Fallback(1), Fallback(2)), timeout_ms=200),
    "latest, beside a shadow": Route(shadow=(Shadow(2),)),
    "a split behind a rule": Route(SPLIT, rules=(Rule(2, when='header["x-beta"] == "yes"'),)),
}
HEADERS = "X-User-ID: user-17\r\nX-Beta: no\r\n"
ANSWER = b'{"model":"logistic","version":1,"predictions":[0]}'


def ignored(record: CallRecord) -> None:
    """Take a call's record, for which `bench.budget` has a line of its own."""


def lead(gateway: budget.Gateway, route: Route | None) -> None:
    """Let the model's name go by a route; metrics hear of it, as in the leading gateway."""
    lane = gateway.lane
    second = Lane(attrs.evolve(lane.manifest, version=2), lane.signature, cache=None, record=ignored)
    second.add(gateway.client)
    lanes = {"logistic": lane, "logistic@latest": lane, "logistic/1": lane, "logistic/2": second}
    asked: dict[str, Any] = {**lanes}
    if route is not None:
        desk = Desk()
        desk.want(RoutedCall, CountedCalls().hear)
        routed = asked["logistic"] = Routed(desk.routing, "logistic", route, 1, lanes, ModelNotFound)
        # The loop does not run between two requests: of these the first wait, and all others find no room.
        routed.taps = (tap,) if (tap := shadows_of(desk.hear).tap(routed)) else ()
    gateway.lanes = asked


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="prism-routes-") as directory:
        session, bodies = budget.load(Path(directory))
    gateway = budget.Gateway(session)
    connection = gateway.connection()
    request = budget.request(bodies[0]).replace(b"Content-Type", HEADERS.encode() + b"Content-Type", 1)
    print(f"{'':32}{'µs':>8}{'bytecodes':>12}")
    for name, route in ROUTES.items():
        lead(gateway, route)
        spent = gateway.round_trip(connection, request, ANSWER)
        print(f"{name:32}{spent:8.2f}{count(asking(gateway, connection, request, ANSWER)).total():12,}")


if __name__ == "__main__":
    asyncio.run(main())
