"""All that REST, gRPC and the command line see of an open gateway; `prism_core.gateway.opening` opens it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import structlog

from prism_core.bundle import Bundle
from prism_core.errors import UnsafeArtifact
from prism_core.gateway.auditing import audited, version_of
from prism_core.gateway.bundling import delivered, frozen
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.keyring import Keyring
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.links import Links
from prism_core.gateway.callers.unlocking import Unlocking
from prism_core.gateway.deploy import Uploads
from prism_core.gateway.events import Events
from prism_core.gateway.followers import Followers
from prism_core.gateway.host import GatewayHost
from prism_core.gateway.observe import Metrics
from prism_core.gateway.operate import check_unaliased
from prism_core.gateway.outside import Outside
from prism_core.gateway.publishing import Entrances, Publishing
from prism_core.gateway.registry import LATEST, Model, Version
from prism_core.gateway.service import PredictService
from prism_core.gateway.shown import model_info, version_info
from prism_core.gateway.store import Staged
from prism_core.gateway.traffic.leads import check_alias_unrouted, check_unrouted
from prism_core.gateway.traffic.opening import Traffic
from prism_core.gateway.views import ModelInfo, UploadRequest, VersionInfo
from prism_core.plugins import PluginSet
from prism_core.protocols import PublicListener
from prism_core.serving import Frontend, Statistics
from prism_core.settings import Settings

__all__ = ["Gateway", "ModelInfo", "UploadRequest", "VersionInfo"]

log = structlog.get_logger("prism.gateway")


class Gateway:
    """An open gateway. Made by `prism_core.gateway.opening.open_gateway`.

    Attributes
    ----------
    service
        The one door for predictions.
    token
        What the admin API asks for.
    traffic
        What routes are followed with, and what is found out about them.
    publishing
        How links are reached.
    tls
        The files of the public listener's certificate, where it is encrypted.
    outside
        What frontends are told of the world outside.
    faces
        Where frontends with listeners of their own listen, by their names.
    keys
        The API keys, and what was used of them.
    links
        The links, and what was used of them.
    door
        To be asked with each request's head; falsy where nobody is asked anything.
    link_door
        The same for the routes of links.
    unlocking
        Gives sessions to who opens a link.
    warmth
        Which versions are kept loaded after an alias has left them.
    circuits
        The states of the circuits of versions and replicas, in all gateways.
    audit
        Who did what; see `Audit.acting`.
    frontends
        Other faces of the server: their records, and what these have opened.
    host
        The server as they see it.
    followers
        The other gateway processes; none where ``settings.gateways`` is 1.
    settled
        Set when every model that is to be served at start is READY or FAILED.
    problems
        Models of the settings that could not be brought up: name -> reason.
    """

    keys: Keyring
    links: Links
    link_door: LinkDoor
    unlocking: Unlocking

    def __init__(
        self,
        settings: Settings,
        plugins: PluginSet,
        uploads: Uploads,
        events: Events,
        metrics: Metrics,
        followers: Followers,
        publishing: Publishing,
        token: str,
        traffic: Traffic,
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
        self.publishing = publishing
        self.token = token
        self.traffic = traffic
        self.service = PredictService(self.registry)
        self.tls: dict[str, str] | None = None
        self.outside = Outside()
        self.faces: dict[str, str] = {}
        self.door = Door()
        self.frontends: list[tuple[Frontend, Any]] = []
        self.settled = asyncio.Event()
        self.problems: dict[str, str] = {}
        self.host = GatewayHost(self)

    @property
    def public_url(self) -> str:
        """The base URL of the public listener."""
        return self.publishing.public_url

    async def publish(self, listener: PublicListener, entrances: Entrances | None = None) -> str:
        """Make the bound public listener reachable, and all links; return its base URL.

        Without ``entrances`` no tunnel can lead to this gateway.
        """
        await self.publishing.begin(listener, entrances)
        await self.audit.note("link.published", self.public_url, provider=self.publishing.public)
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
        self,
        request: UploadRequest,
        staged: Staged,
        progress: Callable[[str, Mapping[str, Any]], None],
        said: Collection[str] = (),
    ) -> VersionInfo:
        """Bring staged bytes into service; ``progress`` is told each step. See `Uploads.upload`.

        ``said`` are the keys of the request that its sender wrote: for the others a bundle may speak.
        """
        async with self.uploads.noting(request.model):
            delivery = await delivered(self.operator.store, self.plugins, request, said, staged)
        try:
            version, duplicate = await self.uploads.upload(delivery.request, delivery.keep, progress)
        except UnsafeArtifact as error:
            raise delivery.explained(error) from None
        await self.followers.agree()
        await self._measure(version)
        info = version_info(self, version)
        return attrs.evolve(
            info, duplicate=duplicate, warnings=[*info.warnings, *delivery.told(version.signature)]
        )

    @asynccontextmanager
    async def frozen(self, model: str, version: int) -> AsyncIterator[tuple[Bundle, Path]]:
        """Hold a version's artifact, found whole; yield what its bundle says, and where the artifact lies."""
        manifest = (found := self.registry.version(model, version)).manifest
        store, digest = self.operator.store, manifest.digest
        store.hold(digest)
        try:
            artifact = store.path(digest)
            await store.soundness.check(artifact, digest)
            # As it was uploaded, which is what a bundle holds, also where another form is served.
            uploaded = attrs.evolve(manifest, optimization=None)
            packages = await self.operator.packages.described(uploaded)
            await self.audit.write("model.freeze", version_of(manifest), digest=digest)
            yield frozen(manifest, found.signature, artifact, self.plugins, packages), artifact
        finally:
            await store.release(digest)

    # --- look ------------------------------------------------------------------------

    async def scrape(self) -> tuple[bytes, str]:
        """Return the metrics of all gateways as Prometheus reads them, and their media type."""
        await self.followers.in_flight()  # what they have answered is here then
        return self.metrics.scrape()

    async def statistics(self, model: str = "", version: int | None = None) -> list[Statistics]:
        """Return what the calls of all versions, of a model's, or of one add up to.

        Raises
        ------
        ModelNotFound
            If there is no such model or version.
        """
        await self.followers.in_flight()
        self.metrics.flush()
        chosen = self._chosen(model, version) if model else self.registry.versions()
        known = sorted((v.manifest.model, v.manifest.version) for v in chosen)
        return [self.metrics.calls.statistics(*key) for key in known]

    def models(self) -> list[ModelInfo]:
        """Return every model, by name; also one of the settings that could not be brought up."""
        missing = [
            ModelInfo(n, {}, [], "", why) for n, why in self.problems.items() if n not in self.registry.models
        ]
        known = [model_info(self, model) for model in self.registry.models.values()]
        return sorted(known + missing, key=lambda info: info.model)

    def model(self, model: str) -> ModelInfo:
        """Return a model, or raise `ModelNotFound`."""
        return model_info(self, self.registry.model(model))

    def version(self, model: str, version: int | None = None) -> VersionInfo:
        """Return a version; without a number the one that the model's name serves."""
        return version_info(self, self.registry.version(model, version))

    async def show(self, model: str, version: int | None = None) -> VersionInfo:
        """Return a version with the memory of its replicas, measured now."""
        found = self.registry.version(model, version)
        await self._measure(found)
        return version_info(self, found)

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
    async def set_alias(self, model: str, alias: str, version: int, *, keep_warm_s: float = 0.0) -> None:
        """Let an alias lead to a version that is ready. ``latest`` is held there until the next upload.

        The version that it leaves stays loaded for ``keep_warm_s``.
        """
        async with self.registry.lock(model):
            found = self.registry.model(model)
            left = found.aliases.get(alias)
            await self.operator.point(found, alias, self.registry.version(model, version))
            await self._keep_warm(found, left if left != version else None, keep_warm_s)
            await self.followers.agree()

    @audited("alias.remove")
    async def remove_alias(self, model: str, alias: str) -> None:
        """Forget an alias; ``latest`` follows the newest version again."""
        async with self.registry.lock(model):
            check_alias_unrouted(self.registry, model, alias)
            await self.operator.unpoint(self.registry.model(model), alias)
            await self.followers.agree()

    @audited("model.rollback")
    async def rollback(self, model: str, *, keep_warm_s: float = 0.0) -> VersionInfo:
        """Let ``latest`` lead to the previous ready version, at once, until the next upload.

        The version that it leaves stays loaded for ``keep_warm_s``.
        """
        async with self.registry.lock(model):
            found = self.registry.model(model)
            left = found.aliases.get(LATEST)
            await self.operator.point(found, LATEST, found.previous)
            await self._keep_warm(found, left, keep_warm_s)
            await self.followers.agree()
            return self.version(model)

    async def _keep_warm(self, model: Model, left: int | None, for_s: float) -> None:
        if for_s and left in model.versions:
            await self.traffic.warmth.keep(model.versions[left], for_s)
            self.operator.loads.changed.set()

    @audited("model.stop")
    async def stop(self, model: str, version: int | None = None) -> None:
        """Take a version, or all of a model's, out of service until it is started again."""
        chosen = self._chosen(model, version)
        if version is not None:
            check_unrouted(self.registry, chosen)
        self.operator.break_off(chosen)
        async with self.registry.lock(model):
            if version is not None:
                check_unrouted(self.registry, chosen)
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
        check_unrouted(self.registry, chosen)
        self.operator.break_off(chosen)
        async with self.registry.lock(model):
            chosen = self._still(chosen)
            if chosen:
                check_unrouted(self.registry, chosen)
                await self.operator.remove(self.registry.model(model), chosen)
            await self.followers.agree()  # their last records are here then
            for found in chosen:
                self.metrics.forget(model, found.manifest.version)
                await self.traffic.shadows.forget_version(model, found.manifest.version)
            if model not in self.registry.models:
                await self.traffic.recordings.forget(model)

    @audited("environments.prune")
    async def prune_environments(self) -> list[str]:
        """Remove environments that no version has; return the names of what went."""
        return await self.operator.collect_environments()

    def _chosen(self, model: str, version: int | None) -> list[Version]:
        if version is None:
            return list(self.registry.model(model).versions.values())
        return [self.registry.version(model, version)]

    def _still(self, versions: list[Version]) -> list[Version]:
        """Return those that are there yet: an upload that is broken off leaves none."""
        known = set(map(id, self.registry.versions()))
        return [version for version in versions if id(version) in known]


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
