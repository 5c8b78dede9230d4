"""The composition root: open everything in the order of need, close it in reverse.

`Gateway` is all that REST, gRPC and the command line see of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.errors import ConfigError, ModelNotFound, PrismError
from prism_core.gateway import links
from prism_core.gateway.cache import AnswerCache, MemoryCache
from prism_core.gateway.deploy import Publisher
from prism_core.gateway.events import Events, open_events
from prism_core.gateway.extensions import Openings, config_of, open_all
from prism_core.gateway.lane import Lane, salt_of
from prism_core.gateway.lifecycle import State
from prism_core.gateway.observe import Metrics, ReadyReplicas, open_metrics
from prism_core.gateway.records import Records, open_records
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.service import PredictService
from prism_core.gateway.store import Checkpoint, Staged, Store, passing
from prism_core.gateway.supervisor import Replica, RestartPolicy, open_supervisor, remove_directories
from prism_core.gateway.views import ModelInfo, UploadRequest, VersionInfo
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.protocols import Cache, Launcher, Linker, PublicListener
from prism_core.settings import ModelSettings, Settings
from prism_core.specs import Frontend
from prism_core.types import Signature

__all__ = ["Gateway", "ModelInfo", "UploadRequest", "VersionInfo", "open_gateway"]

# How many models are brought up at a time when the server starts.
ABREAST = 4

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
    guards
        Open guards by name, to be asked with each request's head.
    frontends
        Offered ASGI applications: their records and the open applications.
    settled
        Set when every model that is to be served at start is READY or FAILED.
    problems
        Models of the settings that could not be brought up: name -> reason.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginSet,
        *,
        registry: Registry,
        publisher: Publisher,
        events: Events,
        metrics: Metrics,
        linker: Linker,
        token: str,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.registry = registry
        self.publisher = publisher
        self.events = events
        self.metrics = metrics
        self.linker = linker
        self.token = token
        self.service = PredictService(registry)
        self.public_url = f"http://127.0.0.1:{settings.port}"
        self.guards: Mapping[str, Any] = {}
        self.frontends: list[tuple[Frontend, Any]] = []
        self.settled = asyncio.Event()
        self.problems: dict[str, str] = {}

    async def publish(self, listener: PublicListener) -> str:
        """Make the bound public listener reachable; return the base URL of all links."""
        self.public_url = await links.publish(self.linker, listener)
        return self.public_url

    # --- upload ----------------------------------------------------------------------

    def stage(self, name: str) -> AbstractAsyncContextManager[Staged]:
        """Open a place for an upload's bytes; what has not been uploaded by the end is gone."""
        log.debug("upload.staged", name=name)
        return self.publisher.store.stage()

    async def upload(
        self, request: UploadRequest, staged: Staged, progress: Callable[[str, Mapping[str, Any]], None]
    ) -> VersionInfo:
        """Bring staged bytes into service; ``progress`` is told each step. See `Publisher.upload`."""
        store = self.publisher.store
        version, duplicate = await self.publisher.upload(
            request, lambda: store.keep(staged, directory=request.directory), progress
        )
        return attrs.evolve(self._info(version), duplicate=duplicate)

    # --- look ------------------------------------------------------------------------

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
        info = self._info(found)
        crew = self.publisher.supervisor.crews.get((info.model, info.version))
        usages = [await crew.usage(replica) for replica in crew.replicas] if crew else []
        for shown, usage in zip(info.replicas, usages, strict=False):
            shown["memory_bytes"] = usage.memory_bytes if usage else None
        return info

    async def logs(
        self, model: str, version: int | None = None, *, tail: int = 100, follow: bool = False
    ) -> AsyncIterator[str]:
        """Yield the last lines of what a version's replicas wrote, and with ``follow`` those to come."""
        found = self.registry.version(model, version)
        manifest = found.manifest
        place = await self.publisher.place(manifest)
        names = [f"{manifest.model}-{manifest.version}-{i}" for i in range(max(1, manifest.replicas))]
        directories = [path for path in (place.replicas / name for name in names) if path.is_dir()]
        if follow and len(directories) > 1:
            streams = [place.launcher.logs(path, tail, True) for path in directories]
            async for line in merged(streams):
                yield line
            return
        for path in directories:
            async for line in place.launcher.logs(path, tail, follow):
                yield line

    # --- change ----------------------------------------------------------------------

    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Let an alias lead to a version that is ready. ``latest`` is held there until the next upload."""
        async with self.registry.lock(model):
            await self.publisher.point(
                self.registry.model(model), alias, self.registry.version(model, version)
            )

    async def remove_alias(self, model: str, alias: str) -> None:
        """Forget an alias; ``latest`` follows the newest version again."""
        async with self.registry.lock(model):
            await self.publisher.unpoint(self.registry.model(model), alias)

    async def rollback(self, model: str) -> VersionInfo:
        """Let ``latest`` lead to the previous ready version, at once, until the next upload."""
        async with self.registry.lock(model):
            found = self.registry.model(model)
            await self.publisher.point(found, LATEST, found.previous)
            return self.version(model)

    async def stop(self, model: str, version: int | None = None) -> None:
        """Take a version, or all of a model's, out of service until it is started again."""
        async with self.registry.lock(model):
            for found in self._chosen(model, version):
                await self.publisher.stop(found)

    async def start(self, model: str, version: int | None = None) -> None:
        """Bring a version up; without a number all that the model's aliases mean."""
        async with self.registry.lock(model):
            chosen = self._chosen(model, version) if version else self.registry.model(model).meant
            for found in chosen:
                await self.publisher.start(found)

    async def remove(self, model: str, version: int | None = None) -> None:
        """Forget a version, or the whole model, and free what nothing else needs."""
        async with self.registry.lock(model):
            chosen = self._chosen(model, version)
            await self.publisher.remove(self.registry.model(model), chosen)
            for found in chosen:
                self.metrics.forget(model, found.manifest.version)

    def _chosen(self, model: str, version: int | None) -> list[Version]:
        if version is None:
            return list(self.registry.model(model).versions.values())
        return [self.registry.version(model, version)]

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
        crew = self.publisher.supervisor.crews.get((manifest.model, manifest.version))
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
        )


def shown_replica(replica: Replica) -> dict[str, Any]:
    """Return a replica as `VersionInfo` has it."""
    return {
        "replica": replica.name,
        "pid": replica.handle.pid if replica.handle else None,
        "state": str(replica.state),
        "memory_bytes": None,
        "restarts": replica.restarts,
        "started": replica.started,
    }


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
        run = stack.enter_context(run_directory(data))
        records = await stack.enter_async_context(open_records(data / "prism.db", checkpoint))
        hear = lambda event: plugins.hooks.prism_model_event(event=event)  # noqa: E731 - shorter than a def
        events = await stack.enter_async_context(open_events(records.add_event, hear))
        observers = await open_all(plugins.observers, "observer", settings.plugins, stack)
        metrics = await stack.enter_async_context(open_metrics(observers))
        registry = Registry(events.emit)
        store = await _restore(
            registry, records, Store(data / "artifacts", settings.limits.max_artifact, checkpoint)
        )
        launchers: Openings[Launcher] = Openings(
            plugins.isolation_backends, "isolation backend", settings.plugins, stack
        )
        await launchers.get(settings.isolation)
        watch = Watch(registry, metrics)
        supervisor = await stack.enter_async_context(
            open_supervisor(records, watch, policy=RestartPolicy(), drain_s=settings.limits.drain_s)
        )
        metrics.registry.register(ReadyReplicas(supervisor.ready))
        await supervisor.end_leftovers(launchers.get)
        kept = [(v.manifest.model, v.manifest.version) for v in registry.versions()]
        await asyncio.to_thread(remove_directories, data / "replicas", kept)
        make_lane = await _lane_maker(settings, plugins, metrics, stack)
        publisher = Publisher(
            settings,
            plugins,
            store,
            records,
            registry,
            supervisor,
            launchers,
            make_lane,
            data,
            run,
            checkpoint,
        )
        watch.fail = publisher.fail
        linker = await stack.enter_async_context(links.open_linker(settings, plugins))
        gateway = Gateway(
            settings,
            plugins,
            registry=registry,
            publisher=publisher,
            events=events,
            metrics=metrics,
            linker=linker,
            token=admin_token(data / "admin-token"),
        )
        gateway.guards = await open_all(plugins.guards, "guard", settings.plugins, stack, required=True)
        await _open_frontends(gateway, stack)
        await stack.enter_async_context(_booting(gateway))
        for lifespan in plugins.hooks.prism_lifespan(gateway=gateway):
            await stack.enter_async_context(lifespan)
        log.info("gateway.open", data_dir=str(data), models=len(registry.models))
        yield gateway


async def _restore(registry: Registry, records: Records, store: Store) -> Store:
    registry.restore(await records.models())
    for version in registry.versions():
        store.hold(version.manifest.digest)
    garbage = await asyncio.to_thread(store.collect, [v.manifest.digest for v in registry.versions()])
    if garbage:
        log.info("store.collected", removed=len(garbage))
    return store


async def _lane_maker(
    settings: Settings, plugins: PluginSet, metrics: Metrics, stack: AsyncExitStack
) -> Callable[[Manifest, Signature], Lane]:
    caching = settings.cache.enabled and "memory" in plugins.caches
    memory = MemoryCache(settings.cache.max_memory)
    second: Cache | None = None
    if settings.cache.second_level:
        caches: Openings[Cache] = Openings(plugins.caches, "cache", settings.plugins, stack)
        second = await caches.get(settings.cache.second_level)

    def make_lane(manifest: Manifest, signature: Signature) -> Lane:
        cache = None
        if caching and manifest.deterministic:
            cache = AnswerCache(memory, salt_of(manifest), settings.cache.ttl_s, second)
        return Lane(manifest, signature, cache=cache, record=metrics.record)

    return make_lane


async def _open_frontends(gateway: Gateway, stack: AsyncExitStack) -> None:
    for name, frontend in gateway.plugins.frontends.items():
        reason = frontend.available()
        if reason:
            log.info("extension.unavailable", kind="frontend", name=name, reason=reason)
            continue
        config = config_of(frontend, gateway.settings.plugins)
        try:
            open_ = frontend.open
            application = await stack.enter_async_context(open_((config, gateway.service)))
        except Exception:
            log.exception("extension.failed", kind="frontend", name=name)
        else:
            gateway.frontends.append((frontend, application))


@attrs.define(eq=False)
class Watch:
    """Tells of lost replicas: events, metrics, and a failed version."""

    registry: Registry
    metrics: Metrics
    fail: Callable[[Version, PrismError], None] = lambda version, error: None

    def lost(self, manifest: Manifest, replica: str, reason: str) -> None:
        """Tell of a loss."""
        self.registry.tell("replica.lost", manifest.model, manifest.version, replica=replica, reason=reason)

    def restarted(self, manifest: Manifest, replica: str, restarts: int) -> None:
        """Tell and count a restart."""
        self.metrics.restarts.labels(manifest.model, str(manifest.version)).inc()
        self.registry.tell(
            "replica.restarted", manifest.model, manifest.version, replica=replica, restarts=restarts
        )

    def failed(self, manifest: Manifest, error: PrismError) -> None:
        """Take the version out of service."""
        with suppress(ModelNotFound):
            self.fail(self.registry.version(manifest.model, manifest.version), error)


# --- what is brought up by itself --------------------------------------------------------


@asynccontextmanager
async def _booting(gateway: Gateway) -> AsyncIterator[None]:
    """Bring up what is to be served, in the background; at the end let everything drain."""
    publisher, registry = gateway.publisher, gateway.registry
    wanted = [v for v in registry.versions() if v.wanted]
    for version in wanted:
        assert version.signature is not None
        # Requests wait for a version that was served before, instead of getting a 404.
        version.lane = publisher.make_lane(version.manifest, version.signature)
    registry.refresh()
    task = asyncio.create_task(_boot(gateway, wanted))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lanes = {v.lane for v in registry.versions() if v.lane is not None}
        await asyncio.gather(*(lane.drain(gateway.settings.limits.drain_s) for lane in lanes))


async def _boot(gateway: Gateway, wanted: list[Version]) -> None:
    abreast = asyncio.Semaphore(ABREAST)

    async def bring_up(version: Version) -> None:
        async with abreast, gateway.registry.lock(version.manifest.model):
            if version.state is not State.STORED:
                return  # a user was quicker
            try:
                await gateway.publisher.bring_up(version, attempts=2)
            except PrismError as error:
                log.error("model.start_failed", model=version.manifest.model, error=error.message)

    try:
        newest_first = sorted(wanted, key=lambda v: -v.manifest.created)
        await asyncio.gather(*map(bring_up, newest_first))
        for name, model in gateway.settings.models.items():
            await _bring_own(gateway, name, model)
    except Exception:
        log.exception("gateway.boot_failed")
    finally:
        gateway.settled.set()


async def _bring_own(gateway: Gateway, name: str, model: ModelSettings) -> None:
    """Upload a model that the settings name; its failure is shown, and nobody else's."""
    store, path = gateway.publisher.store, Path(model.path).expanduser()
    request = UploadRequest(
        name=name,
        filename=path.name,
        loader=model.loader,
        alias=model.alias,
        replicas=model.replicas,
        threads=model.threads,
        options=model.options,
        trust=model.trust,
        isolation=model.isolation,
        timeout_s=model.timeout_s,
        memory_estimate_bytes=model.memory_estimate,
        memory_limit_bytes=model.memory_limit,
        preload=model.preload,
        batching=model.batching,
    )
    try:
        if not path.exists():
            raise ConfigError(f"models.{name}.path names {model.path!r}, which does not exist.")
        await gateway.publisher.upload(
            request, lambda: store.keep_path(path), lambda step, facts: None, take_over=False
        )
    except (PrismError, OSError) as error:
        gateway.problems[name] = str(error)
        log.error("model.preload_failed", model=name, error=str(error))


# --- files of the data directory ----------------------------------------------------------


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data directory; `ConfigError` if another server does."""
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ConfigError(
                f"Another server (process {file.read().strip() or 'unknown'}) uses this data directory.",
                hint="Stop it, or choose another --data-dir.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def run_directory(data: Path) -> Iterator[Path]:
    """Make a short private directory for sockets; one that a killed server left is removed."""
    note = data / "run"
    with suppress(OSError):
        left = Path(note.read_text())
        if left.name.startswith("prism-") and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    # macOS's own temporary directory is too long for a Unix socket's 104 bytes.
    run = Path(tempfile.mkdtemp(prefix="prism-", dir="/tmp"))
    note.write_text(str(run))
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)
        note.unlink(missing_ok=True)


def admin_token(path: Path) -> str:
    """Return the admin token, made at the first start; only its owner can read the file."""
    with suppress(FileNotFoundError):
        token = path.read_text().strip()
        if token:
            path.chmod(0o600)
            return token
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token)
    return token


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
