"""What the routes of a gateway need, opened in the order of need and connected with each other."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from prism_core.gateway.auditing import Audit
from prism_core.gateway.events import Events
from prism_core.gateway.followers import Followers
from prism_core.gateway.observe import Metrics
from prism_core.gateway.records import Records
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.circuit_states import CircuitStates
from prism_core.gateway.traffic.comparisons import live_lines
from prism_core.gateway.traffic.countries import open_countries
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.experiments import Experiments, open_experiments
from prism_core.gateway.traffic.feedback import Learning, open_learning
from prism_core.gateway.traffic.guard import open_guard
from prism_core.gateway.traffic.kinds import CircuitMoved, Hedged, ReplicaMoved, RoutedCall
from prism_core.gateway.traffic.recordings.recorder import open_recorder
from prism_core.gateway.traffic.recordings.shelf import Recordings, open_recordings
from prism_core.gateway.traffic.replaying.replays import Replays
from prism_core.gateway.traffic.routes import Routes
from prism_core.gateway.traffic.shadows.agreements import Agreements, open_agreements
from prism_core.gateway.traffic.shadows.shadows import open_shadows
from prism_core.gateway.traffic.shadows.shown import shadow_lines
from prism_core.gateway.traffic.showing import circuit_lines
from prism_core.gateway.traffic.states import States
from prism_core.gateway.traffic.unclear import watch_rules
from prism_core.gateway.traffic.warmth import Warmth
from prism_core.settings import Settings

if TYPE_CHECKING:
    from prism_core.gateway.operate import Operator


@attrs.define(eq=False)
class Traffic:
    """What routes are followed with, and what is found out about them. Made by `open_traffic`.

    Attributes
    ----------
    desk
        Gets what is found out about requests, of all gateways.
    states
        What must be known again after a restart.
    routes
        Where the traffic of models goes, and how it came to that.
    circuits
        The states of the circuits of versions, in all gateways.
    warmth
        Which versions are kept loaded after an alias has left them.
    learning
        Takes feedback, and learns from it.
    recording_key
        What redacted texts are hashed with in this run.
    recordings, replays
        What was recorded of requests; asks two versions that. From `open_findings` on, as the next two.
    shadows
        What is known of versions that are asked too.
    experiments
        What is added up of the shares of splits.
    """

    desk: Desk
    states: States
    routes: Routes
    circuits: CircuitStates
    warmth: Warmth
    learning: Learning
    # Never written down: nobody who takes the files can try which text a hash stands for.
    recording_key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), repr=False)
    recordings: Recordings = attrs.field(init=False)
    replays: Replays = attrs.field(init=False)
    shadows: Agreements = attrs.field(init=False)
    experiments: Experiments = attrs.field(init=False)


@asynccontextmanager
async def open_traffic(
    settings: Settings,
    data: Path,
    records: Records,
    registry: Registry,
    followers: Followers,
    metrics: Metrics,
    audit: Audit,
    events: Events,
) -> AsyncIterator[Traffic]:
    """Follow the routes of a registry's models from now on."""
    states, desk = States(records), Desk()
    warmth = Warmth(registry, states)
    await warmth.restore()
    circuits = _hear_routed(desk, registry, metrics, followers, events)
    desk.routing.country_of = open_countries(settings.geo_database)
    routes = Routes(records, registry, followers, audit, countries=bool(settings.geo_database))
    watch_rules(routes, desk, metrics)
    async with open_learning(data, settings.feedback, desk, registry, followers, states, events) as learning:
        metrics.registry.register(learning.judging)
        routes.live += [circuit_lines(circuits), learning.bandits.lines]
        desk.routing.serve(registry)
        yield Traffic(desk, states, routes, circuits, warmth, learning)


@asynccontextmanager
async def open_findings(
    traffic: Traffic, operator: Operator, audit: Audit, metrics: Metrics
) -> AsyncIterator[None]:
    """Record, ask shadows and compare shares, as routes say; ends before the replicas do."""
    async with AsyncExitStack() as stack:
        await _open_recordings(traffic, operator, audit, stack)
        await _open_shadows(traffic, operator.registry, audit, metrics, stack)
        await _open_experiments(traffic, operator.registry, stack)
        yield


def _hear_routed(
    desk: Desk, registry: Registry, metrics: Metrics, followers: Followers, events: Events
) -> CircuitStates:
    """Let what is found out about routed requests come to the metrics, from all gateways."""
    followers.routed = desk.hear_all
    circuits = CircuitStates(registry, events.emit)
    desk.want(RoutedCall, metrics.routed.hear)
    desk.want(Hedged, metrics.hedges.hear)
    desk.want(CircuitMoved, circuits.hear)
    desk.want(ReplicaMoved, circuits.replicas.hear)
    followers.left = circuits.left
    for collector in (circuits, circuits.replicas):
        metrics.registry.register(collector)
    return circuits


async def _open_recordings(traffic: Traffic, operator: Operator, audit: Audit, stack: AsyncExitStack) -> None:
    data, registry, routing = operator.data, operator.registry, traffic.desk.routing
    traffic.recordings = await stack.enter_async_context(open_recordings(data, registry, audit))
    traffic.replays = Replays(operator, traffic.recordings, audit)
    await stack.enter_async_context(open_recorder(data, traffic.recording_key, routing, registry))


async def _open_shadows(
    traffic: Traffic, registry: Registry, audit: Audit, metrics: Metrics, stack: AsyncExitStack
) -> None:
    desk = traffic.desk
    opening = open_agreements(desk, traffic.states, registry, audit)
    traffic.shadows = await stack.enter_async_context(opening)
    metrics.registry.register(traffic.shadows)
    traffic.routes.live.append(shadow_lines(traffic.shadows))
    shadows = await stack.enter_async_context(open_shadows(desk.hear))
    desk.routing.taps.append(shadows.tap)


async def _open_experiments(traffic: Traffic, registry: Registry, stack: AsyncExitStack) -> None:
    opened = open_experiments(registry, traffic.states, traffic.desk)
    traffic.experiments = await stack.enter_async_context(opened)
    await stack.enter_async_context(open_guard(traffic.experiments, traffic.routes, registry))
    traffic.routes.live.append(partial(live_lines, traffic.experiments))
