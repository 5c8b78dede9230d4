"""The composition root: open everything in the order of need, close it in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from prism_core.gateway.auditing import open_audit
from prism_core.gateway.boot import booting
from prism_core.gateway.caching import open_caching
from prism_core.gateway.callers.keyring import Keyring
from prism_core.gateway.callers.links import Links
from prism_core.gateway.callers.opening import Known, open_leading_doors
from prism_core.gateway.callers.unlocking import Unlocking
from prism_core.gateway.callers.usage import open_usage
from prism_core.gateway.deploy import Uploads
from prism_core.gateway.directory import admin_token, locked, run_directory, server_id
from prism_core.gateway.events import open_events
from prism_core.gateway.extensions import Openings, open_all, warn_of_unused
from prism_core.gateway.facing import open_frontends
from prism_core.gateway.followers import Followers
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.housekeeping import Housekeeper, open_housekeeper
from prism_core.gateway.lanes import lane_maker
from prism_core.gateway.loads import Loads
from prism_core.gateway.notices import open_notices
from prism_core.gateway.observe import Metrics, ReadyReplicas, open_metrics
from prism_core.gateway.operate import Operator
from prism_core.gateway.publishing import open_publishing
from prism_core.gateway.records import Records, open_records
from prism_core.gateway.registry import Registry
from prism_core.gateway.store import Checkpoint, Store, passing
from prism_core.gateway.supervisor import open_supervisor, remove_directories
from prism_core.gateway.telling import Telling
from prism_core.gateway.traffic.opening import Traffic, open_findings, open_traffic
from prism_core.gateway.traffic.replica_circuits import tell_of_replicas
from prism_core.gateway.traffic.stated import Stated, following
from prism_core.gateway.tunnel_metrics import TunnelStates
from prism_core.gateway.watch import Watch
from prism_core.plugins import PluginSet
from prism_core.protocols import Launcher
from prism_core.settings import Settings
from prism_core.specs import ModelEvent

log = structlog.get_logger("prism.gateway")


@asynccontextmanager
async def open_gateway(
    settings: Settings, plugins: PluginSet, *, checkpoint: Checkpoint = passing
) -> AsyncIterator[Gateway]:
    """Open a gateway on the settings' data directory.

    It answers at once: what was served before is brought up in the background, and
    requests for it wait. ``checkpoint`` is called at every step that a kill may fall behind.

    Raises
    ------
    ConfigError
        If another server uses the data directory, or an extension that was asked for
        cannot work here.
    """
    async with AsyncExitStack() as stack:
        data = settings.data_dir.expanduser().resolve()
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.enter_context(locked(data))
        audit = await stack.enter_async_context(open_audit(data))
        records = await stack.enter_async_context(open_records(data / "prism.db", checkpoint))
        hear = partial(_hear, plugins)
        events = await stack.enter_async_context(open_events(records.add_event, hear))
        observers = await open_all(plugins.observers, "observer", settings.plugins, stack)
        metrics = await stack.enter_async_context(open_metrics(observers))
        warn_of_unused(settings.plugins, plugins.records)
        limits = settings.limits
        store = Store(data / "artifacts", limits.max_artifact, checkpoint, limits.of_readers)
        registry = await _restore(Registry(events.emit), records, store)
        followers = Followers(registry, metrics.record)
        traffic = await stack.enter_async_context(
            open_traffic(settings, data, records, registry, followers, metrics, audit, events)
        )
        operator = await _open_operator(
            settings, plugins, records, registry, store, metrics, followers, traffic, stack
        )
        traffic.circuits.replicas.supervisor = operator.supervisor
        notices = await stack.enter_async_context(
            open_notices(audit, events.emit, Telling(settings.links), data)
        )
        publishing = await stack.enter_async_context(
            open_publishing(settings, plugins, notices, server_id(data))
        )
        metrics.registry.register(TunnelStates(publishing.infos, publishing.republished))
        gateway = Gateway(
            settings,
            plugins,
            Uploads(operator, audit, checkpoint),
            events,
            metrics,
            followers,
            publishing,
            admin_token(data),
            traffic,
        )
        await stack.enter_async_context(open_findings(traffic, operator, audit, metrics))
        await _open_doors(gateway, records, stack)
        await open_frontends(gateway, stack, "public", "admin")
        boot = await stack.enter_async_context(booting(settings, gateway.uploads))
        gateway.settled, gateway.problems = boot.settled, boot.problems
        stated = Stated(settings.routes, traffic.routes, traffic.states)
        traffic.routes.waiting = stated.waiting
        await stack.enter_async_context(following(stated, events))
        for lifespan in plugins.hooks.prism_lifespan(gateway=gateway):
            await stack.enter_async_context(lifespan)
        log.info("gateway.open", data_dir=str(data), models=len(registry.models))
        yield gateway


def _hear(plugins: PluginSet, event: ModelEvent) -> None:
    plugins.hooks.prism_model_event(event=event)


async def _open_operator(
    settings: Settings,
    plugins: PluginSet,
    records: Records,
    registry: Registry,
    store: Store,
    metrics: Metrics,
    followers: Followers,
    traffic: Traffic,
    stack: AsyncExitStack,
) -> Operator:
    data = store.directory.parent
    run = stack.enter_context(run_directory(data))
    # Here, so that one which a later upload opens is closed after the supervisor all the same.
    opened = await stack.enter_async_context(AsyncExitStack())
    launchers: Openings[Launcher] = Openings(
        plugins.isolation_backends, "isolation backend", settings.plugins, opened, server_id(data)
    )
    await launchers.get(settings.isolation.backend)
    watch = Watch(registry, metrics, followers)
    supervisor = await stack.enter_async_context(
        open_supervisor(records, watch, drain_s=settings.limits.drain_s, hang_s=settings.limits.hang_s)
    )
    followers.used = supervisor.used_elsewhere
    metrics.registry.register(ReadyReplicas(supervisor.ready))
    await supervisor.end_leftovers(launchers.get)
    kept = [(v.manifest.model, v.manifest.version) for v in registry.versions()]
    await asyncio.to_thread(remove_directories, data / "replicas", kept)
    caching = await stack.enter_async_context(open_caching(settings, plugins, data, metrics.registry))
    make_lane = lane_maker(settings, caching, metrics.record, tell_of_replicas(traffic.desk.hear))
    loads = Loads(supervisor, registry, settings)
    stack.push_async_callback(loads.close)
    housekeeper = Housekeeper(supervisor, registry, loads, metrics, records, settings.memory, traffic.warmth)
    await stack.enter_async_context(open_housekeeper(housekeeper))
    operator = Operator(
        settings, plugins, store, records, registry, supervisor, loads, launchers, make_lane, data, run
    )
    watch.fail = operator.fail
    await operator.collect_environments()
    return operator


async def _restore(registry: Registry, records: Records, store: Store) -> Registry:
    registry.restore(await records.models())
    needed = [digest for version in registry.versions() for digest in version.manifest.digests]
    for digest in needed:
        store.hold(digest)
    garbage = await asyncio.to_thread(store.collect, needed)
    if garbage:
        log.info("store.collected", removed=len(garbage))
    return registry


async def _open_doors(gateway: Gateway, records: Records, stack: AsyncExitStack) -> None:
    followers, audit = gateway.followers, gateway.audit
    usage = await stack.enter_async_context(open_usage(records, followers))
    gateway.keys = Keyring(records, followers, audit, await records.keys(), usage)
    publishing = gateway.publishing
    gateway.links = Links(records, followers, audit, await records.links(), usage, publishing)
    publishing.wanted = gateway.links.wanted
    gateway.unlocking = Unlocking(gateway.links.table)
    known = Known(gateway.keys.table, gateway.links.table, usage.tally)
    doors = open_leading_doors(
        gateway.settings, gateway.plugins, gateway.registry, known, gateway.metrics, followers
    )
    gateway.door, gateway.link_door = await stack.enter_async_context(doors)
