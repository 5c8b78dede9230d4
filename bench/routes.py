"""What a route adds to a prediction in the gateway: ``python -m bench.routes``.

As `bench.budget` measures it, from a request's bytes to those of its answer, with a replica that answers at
once: microseconds of the processor, and bytecodes of our Python, which do not move with the machine. Then a
real server is asked with and without a route in turn, by h2load: requests a second, and the processor time of
the gateway for each.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx
import joblib
import msgspec
import psutil

from bench import budget, h2load
from bench.bytecodes import asking, count
from bench.h2load import Request
from prism_core.errors import ModelNotFound
from prism_core.gateway.lane import Lane
from prism_core.gateway.traffic.counted import CountedCalls
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.routed import Routed
from prism_core.gateway.traffic.shadows.shadows import shadows_of
from prism_core.specs import CallRecord
from prism_core.testing.server import ServerProcess
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
ASKED = {
    "x-user-id": "user-17",
    "x-beta": "no",
    "cache-control": "no-store",
    "content-type": "application/json",
}
# What a server is measured with.
SERVED = ("no route", "a split, drawn", "a split, sticky by a header", "the same with a time limit")
ROUNDS, SECONDS, CONNECTIONS = 3, 2, 64
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


async def in_process() -> None:
    """Measure the gateway's own Python."""
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


def of_a_server() -> None:
    """Measure a server, the routes in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVED}
    with tempfile.TemporaryDirectory(prefix="prism-routes-") as given:
        directory = Path(given)
        _, bodies = budget.load(directory)
        with ServerProcess(directory / "data") as server:
            for compress in (0, 1):  # another file, the same model
                path = directory / f"{compress}.pkl"
                joblib.dump(joblib.load(directory / "logistic.pkl"), path, compress=compress)
                server.upload(path, "--name", "logistic")
            request = Request(f"{server.url}/model/logistic/predict", ASKED, bodies[0])
            for _ in range(ROUNDS):
                for name in SERVED:
                    lead_server(server, ROUTES[name])
                    found[name].append(loaded(server, request))
    print(f"{'64 connections, medians':32}{'req/s':>8}{'gateway µs':>12}")
    for name, rounds in found.items():
        rps, spent = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{name:32}{rps:8,.0f}{spent:12.1f}")


def lead_server(server: ServerProcess, route: Route | None) -> None:
    """Set the route, or take it away."""
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/models/logistic/route"
    body = None if route is None else msgspec.to_builtins(route)
    httpx.request("PUT" if body else "DELETE", url, json=body, headers=headers).raise_for_status()


def loaded(server: ServerProcess, request: Request) -> tuple[float, float]:
    """Return requests a second, and microseconds of the gateway for each."""
    gateway = psutil.Process(server.process.pid)
    before = sum(gateway.cpu_times()[:2])
    load = h2load.load(request, CONNECTIONS, SECONDS)
    assert not load.errors
    return load.rps, (sum(gateway.cpu_times()[:2]) - before) / load.requests * 1e6


if __name__ == "__main__":
    asyncio.run(in_process())
    of_a_server()
