"""The composition root: open everything in the order of need, close it in reverse.

`Gateway` is all that REST, gRPC and the command line see of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.gateway import links
from prism_core.gateway.auditing import audited, open_audit
from prism_core.gateway.boot import booting
from prism_core.gateway.caching import open_caching
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.keyring import Keyring, open_keyring
from prism_core.gateway.callers.opening import open_leading_door
from prism_core.gateway.deploy import Uploads
from prism_core.gateway.directory import admin_token, locked, run_directory
from prism_core.gateway.events import Events, open_events
from prism_core.gateway.extensions import Openings, config_of, open_all, warn_of_unused
from prism_core.gateway.followers import Followers
from prism_core.gateway.housekeeping import Housekeeper, open_housekeeper
from prism_core.gateway.lanes import lane_maker
from prism_core.gateway.loads import Loads
from prism_core.gateway.observe import Metrics, ReadyReplicas, open_metrics
from prism_core.gateway.operate import Operator, check_unaliased
from prism_core.gateway.records import Records, open_records
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.service import PredictService
from prism_core.gateway.shown import shown_optimization, shown_replica
from prism_core.gateway.store import Checkpoint, Staged, Store, passing
from prism_core.gateway.supervisor import open_supervisor, remove_directories
from prism_core.gateway.views import ModelInfo, UploadRequest, VersionInfo
from prism_core.gateway.watch import Watch
from prism_core.plugins import PluginSet
from prism_core.protocols import Launcher, Linker, PublicListener
from prism_core.settings import Settings
from prism_core.specs import Frontend, ModelEvent

__all__ = ["Gateway", "ModelInfo", "UploadRequest", "VersionInfo", "open_gateway"]

log = structlog.get_logger("prism.gateway")


class Gateway:
    """An open gateway. Made by `open_gateway`.

    Attributes
    ----------
    service
        The one door for predictions.
    token
        What the admin API asks for.
    public_url
        The base URL of links, once `publish` was called.
    tls
        The files of the public listener's certificate, where it is encrypted.
    keys
        The API keys, and what was used of them.
    door
        To be asked with each request's head; falsy where nobody is asked anything.
    audit
        Who did what; see `Audit.acting`.
    frontends
        Offered ASGI applications: their records and the open applications.
    followers
        The other gateway processes; none where ``settings.gateways`` is 1.
    settled
        Set when every model that is to be served at start is READY or FAILED.
    problems
        Models of the settings that could not be brought up: name -> reason.
    """

    keys: Keyring

    def __init__(
        self,
        settings: Settings,
        plugins: PluginSet,
        uploads: Uploads,
        events: Events,
        metrics: Metrics,
        followers: Followers,
        linker: Linker,
        token: str,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.uploads = uploads
        self.audit = uploads.audit
        self.operator = uploads.operator
        self.registry = uploads.operator.registry
        self.events = events
        self.metrics = metrics
        self.followers = followers
        self.linker = linker
        self.token = token
        self.service = PredictService(self.registry)
        self.public_url = f"http://127.0.0.1:{settings.port}"
        self.tls: dict[str, str] | None = None
        self.door = Door()
        self.frontends: list[tuple[Frontend, Any]] = []
        self.settled = asyncio.Event()
        self.problems: dict[str, str] = {}

    async def publish(self, listener: PublicListener) -> str:
        """Make the bound public listener reachable; return the base URL of all links."""
        self.public_url = await links.publish(self.linker, listener)
        await self.audit.note("link.published", self.public_url, provider=self.settings.link)
        return self.public_url

    def hurry(self) -> None:
        """Let replicas end at once when the gateway closes: nobody waits for their answers any more."""
        self.operator.supervisor.drain_s = 0.0

    # --- upload ----------------------------------------------------------------------

    def stage(self, name: str) -> AbstractAsyncContextManager[Staged]:
        """Open a place for an upload's bytes; what has not been uploaded by the end is gone."""
        log.debug("upload.staged", name=name)
        return self.operator.store.stage()

    async def upload(
        self, request: UploadRequest, staged: Staged, progress: Callable[[str, Mapping[str, Any]], None]
    ) -> VersionInfo:
        """Bring staged bytes into service; ``progress`` is told each step. See `Uploads.upload`."""
        store = self.operator.store
        version, duplicate = await self.uploads.upload(
            request, lambda: store.keep(staged, directory=request.directory), progress
        )
        await self.followers.agree()
        await self._measure(version)
        return attrs.evolve(self._info(version), duplicate=duplicate)

    # --- look ------------------------------------------------------------------------

    async def scrape(self) -> tuple[bytes, str]:
        """Return the metrics of all gateways as Prometheus reads them, and their media type."""
        await self.followers.in_flight()  # what they have answered is here then
        return self.metrics.scrape()

    def models(self) -> list[ModelInfo]:
        """Return every model, by name; also one of the settings that could not be brought up."""
        missing = [
            ModelInfo(n, {}, [], "", why) for n, why in self.problems.items() if n not in self.registry.models
        ]
        known = [self._model_info(model) for model in self.registry.models.values()]
        return sorted(known + missing, key=lambda info: info.model)

    def model(self, model: str) -> ModelInfo:
        """Return a model, or raise `ModelNotFound`."""
        return self._model_info(self.registry.model(model))

    def version(self, model: str, version: int | None = None) -> VersionInfo:
        """Return a version; without a number the one that the model's name serves."""
        return self._info(self.registry.version(model, version))

    async def show(self, model: str, version: int | None = None) -> VersionInfo:
        """Return a version with the memory of its replicas, measured now."""
        found = self.registry.version(model, version)
        await self._measure(found)
        return self._info(found)

    async def _measure(self, version: Version) -> None:
        crew = self.operator.supervisor.crews.get((version.manifest.model, version.manifest.version))
        if crew:
            await crew.measure()

    async def logs(
        self, model: str, version: int | None = None, *, tail: int = 100, follow: bool = False
    ) -> AsyncIterator[str]:
        """Yield the last lines of what a version's replicas wrote, and with ``follow`` those to come."""
        found = self.registry.version(model, version)
        manifest = found.manifest
        launcher = await self.operator.launchers.get(manifest.isolation)
        directories = self.operator.directories(manifest)
        if follow and len(directories) > 1:
            streams = [launcher.logs(path, tail, True) for path in directories]
            async for line in merged(streams):
                yield line
            return
        for path in directories:
            async for line in launcher.logs(path, tail, follow):
                yield line

    # --- change ----------------------------------------------------------------------

    @audited("alias.set")
    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Let an alias lead to a version that is ready. ``latest`` is held there until the next upload."""
        async with self.registry.lock(model):
            await self.operator.point(
                self.registry.model(model), alias, self.registry.version(model, version)
            )
            await self.followers.agree()

    @audited("alias.remove")
    async def remove_alias(self, model: str, alias: str) -> None:
        """Forget an alias; ``latest`` follows the newest version again."""
        async with self.registry.lock(model):
            await self.operator.unpoint(self.registry.model(model), alias)
            await self.followers.agree()

    @audited("model.rollback")
    async def rollback(self, model: str) -> VersionInfo:
        """Let ``latest`` lead to the previous ready version, at once, until the next upload."""
        async with self.registry.lock(model):
            found = self.registry.model(model)
            await self.operator.point(found, LATEST, found.previous)
            await self.followers.agree()
            return self.version(model)

    @audited("model.stop")
    async def stop(self, model: str, version: int | None = None) -> None:
        """Take a version, or all of a model's, out of service until it is started again."""
        chosen = self._chosen(model, version)
        self.operator.break_off(chosen)
        async with self.registry.lock(model):
            await asyncio.gather(*map(self.operator.stop, self._still(chosen)))
            await self.followers.agree()

    @audited("model.start")
    async def start(self, model: str, version: int | None = None) -> None:
        """Bring a version up; without a number all that the model's aliases mean."""
        async with self.registry.lock(model):
            chosen = self._chosen(model, version) if version else self.registry.model(model).meant
            for found in chosen:
                await self.operator.start(found)
            await self.followers.agree()

    @audited("model.remove")
    async def remove(self, model: str, version: int | None = None) -> None:
        """Forget a version, or the whole model, and free what nothing else needs."""
        chosen = self._chosen(model, version)
        check_unaliased(self.registry.model(model), chosen)
        self.operator.break_off(chosen)
        async with self.registry.lock(model):
            chosen = self._still(chosen)
            if chosen:
                await self.operator.remove(self.registry.model(model), chosen)
            await self.followers.agree()  # their last records are here then
            for found in chosen:
                self.metrics.forget(model, found.manifest.version)

    def _chosen(self, model: str, version: int | None) -> list[Version]:
        if version is None:
            return list(self.registry.model(model).versions.values())
        return [self.registry.version(model, version)]

    def _still(self, versions: list[Version]) -> list[Version]:
        """Return those that are there yet: an upload that is broken off leaves none."""
        known = set(map(id, self.registry.versions()))
        return [version for version in versions if id(version) in known]

    # --- views -----------------------------------------------------------------------

    def _model_info(self, model: Model) -> ModelInfo:
        versions = [self._info(model.versions[number]) for number in sorted(model.versions)]
        url = f"{self.public_url}/model/{model.name}/predict"
        return ModelInfo(model.name, model.aliases, versions, url, self.problems.get(model.name, ""))

    def _info(self, version: Version) -> VersionInfo:
        manifest, model = version.manifest, self.registry.models.get(version.manifest.model)
        aliases = [a for a, n in model.aliases.items() if n == manifest.version] if model else []
        short = LATEST in aliases
        route = manifest.model if short else f"{manifest.model}/versions/{manifest.version}"
        crew = self.operator.supervisor.crews.get((manifest.model, manifest.version))
        if crew:
            crew.look(time.time())
        return VersionInfo(
            model=manifest.model,
            version=manifest.version,
            state=str(version.state),
            digest=manifest.digest,
            size_bytes=manifest.size_bytes,
            loader=manifest.loader,
            artifact=manifest.artifact,
            created=manifest.created,
            options=manifest.options,
            isolation=manifest.isolation,
            aliases=aliases,
            signature=msgspec.to_builtins(version.signature) if version.signature else None,
            warnings=list(manifest.warnings),
            error=version.error,
            url=f"{self.public_url}/model/{route}/predict",
            replicas=[shown_replica(replica) for replica in crew.replicas] if crew else [],
            loaded=bool(crew and crew.ready),
            last_used=version.use.last or None,
            optimization=shown_optimization(manifest.optimization),
        )


# --- opening ---------------------------------------------------------------------------


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
        operator = await _open_operator(
            settings, plugins, records, registry, store, metrics, followers, stack
        )
        linker = await stack.enter_async_context(links.open_linker(settings, plugins))
        gateway = Gateway(
            settings,
            plugins,
            Uploads(operator, audit, checkpoint),
            events,
            metrics,
            followers,
            linker,
            admin_token(data),
        )
        gateway.keys = await stack.enter_async_context(open_keyring(records, followers, audit))
        door = open_leading_door(settings, plugins, registry, gateway.keys, metrics, followers)
        gateway.door = await stack.enter_async_context(door)
        await _open_frontends(gateway, stack)
        boot = await stack.enter_async_context(booting(settings, gateway.uploads))
        gateway.settled, gateway.problems = boot.settled, boot.problems
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
    stack: AsyncExitStack,
) -> Operator:
    data = store.directory.parent
    run = stack.enter_context(run_directory(data))
    launchers: Openings[Launcher] = Openings(
        plugins.isolation_backends, "isolation backend", settings.plugins, stack
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
    make_lane = lane_maker(settings, caching, metrics.record)
    loads = Loads(supervisor, registry, settings)
    stack.push_async_callback(loads.close)
    housekeeper = Housekeeper(supervisor, registry, loads, metrics, records, settings.memory)
    await stack.enter_async_context(open_housekeeper(housekeeper))
    operator = Operator(
        settings, plugins, store, records, registry, supervisor, loads, launchers, make_lane, data, run
    )
    watch.fail = operator.fail
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


async def _open_frontends(gateway: Gateway, stack: AsyncExitStack) -> None:
    for name, frontend in gateway.plugins.frontends.items():
        reason = frontend.available()
        if reason:
            log.info("extension.unavailable", kind="frontend", name=name, reason=reason)
            continue
        config = config_of(frontend, gateway.settings.plugins)
        try:
            open_frontend: Callable[..., Any] = frontend.open
            application = await stack.enter_async_context(open_frontend(config, gateway.service))
        except Exception:
            log.exception("extension.failed", kind="frontend", name=name)
        else:
            gateway.frontends.append((frontend, application))


async def merged(streams: list[AsyncIterator[str]]) -> AsyncIterator[str]:
    """Yield the lines of several streams as they come."""
    queue: asyncio.Queue[str] = asyncio.Queue(1000)

    async def read(stream: AsyncIterator[str]) -> None:
        async for line in stream:
            await queue.put(line)

    tasks = [asyncio.create_task(read(stream)) for stream in streams]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
