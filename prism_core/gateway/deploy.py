"""The upload use case, start to finish, with an undo for each step.

There is one moment of truth: the transaction that stores the version. Before it, whatever
fails or is killed leaves the old state; after it, the new one. The previous version serves
all the while.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import attrs
import structlog

from prism_core.environment import SERVER
from prism_core.environments.environments import Choice
from prism_core.environments.locks import read_lock
from prism_core.environments.needs import Needs
from prism_core.errors import DeployError, InvalidParameter, PrismError
from prism_core.gateway.admission import admitted, essence, inspect, needs_of
from prism_core.gateway.auditing import Audit, code_of, version_of
from prism_core.gateway.describing import description_of
from prism_core.gateway.disk import disk_errors
from prism_core.gateway.lane import Lane, signature_of
from prism_core.gateway.lifecycle import State
from prism_core.gateway.operate import Operator
from prism_core.gateway.optimizing import Workshop, example_of
from prism_core.gateway.prediction import Head
from prism_core.gateway.records import VersionRow
from prism_core.gateway.registry import LATEST, Model, Version
from prism_core.gateway.store import Checkpoint, Kept, passing
from prism_core.gateway.traffic.changes import Change, Ways
from prism_core.gateway.traffic.leading import planned, take
from prism_core.gateway.uninterrupted import uninterrupted
from prism_core.gateway.views import UploadRequest, check_name
from prism_core.manifest import Manifest
from prism_core.optimization import Optimization
from prism_core.specs import Artifact

Progress = Callable[[str, Mapping[str, Any]], None]

log = structlog.get_logger("prism.deploy")


class Steps:
    """Where an upload is: told to whoever waits, and named in what goes wrong."""

    def __init__(self, progress: Progress, checkpoint: Checkpoint) -> None:
        self.name = ""
        self.digest = ""
        self._progress = progress
        self._checkpoint = checkpoint

    def begin(self, name: str, **facts: Any) -> None:
        """Enter a step."""
        self.name = name
        self.digest = facts.get("digest", self.digest)
        self._checkpoint(name)
        self._progress(name, facts)

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Tell how far the step is."""
        self._progress(self.name, facts)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the step's name into the details of whatever is raised."""
        try:
            with disk_errors():
                yield
        except PrismError as error:
            error.details.setdefault("step", self.name)
            raise
        except Exception as error:
            error_id = uuid.uuid4().hex[:12]
            log.exception("upload.failed", step=self.name, error_id=error_id)
            raise DeployError(
                f"The upload failed in step {self.name!r}: {type(error).__name__}.",
                hint="The server's log has the trace under this error_id.",
                details={"step": self.name, "error_id": error_id},
            ) from error


@attrs.frozen(eq=False)
class Uploads:
    """Uploads into one gateway, through its `Operator`."""

    operator: Operator
    audit: Audit
    checkpoint: Checkpoint = passing

    async def upload(
        self,
        request: UploadRequest,
        keep: Callable[[], Awaitable[Kept]],
        progress: Progress,
        *,
        anew: bool = True,
    ) -> tuple[Version, bool]:
        """Bring a new version into service, or find the one that is equal to it.

        Parameters
        ----------
        keep
            Takes the artifact into the store and holds it once.
        anew
            A user asks for it now: a version that is there already is started if it was stopped,
            and ``latest`` and the alias move to it. False: it is left as it is.

        Returns
        -------
        tuple
            The version, and whether it had been there before.

        Raises
        ------
        PrismError
            With the step in ``details["step"]``; then nothing has changed.
        """
        name = request.model
        if request.alias:
            check_name(request.alias, "alias")
        request.check_replicas()
        steps = Steps(progress, self.checkpoint)
        async with self.noting(name, steps):
            return await self._upload(request, keep, steps, anew)

    @asynccontextmanager
    async def noting(self, name: str, steps: Steps | None = None) -> AsyncIterator[None]:
        """Write down that an upload fails, if what is done here does; without ``steps`` in its first."""
        try:
            yield
        except BaseException as error:
            step, digest = (steps.name, steps.digest) if steps else ("store", "")
            reason = ""
            if isinstance(error, PrismError):
                reason = error.message
                error.details.setdefault("step", step)
            told = {"code": code_of(error), "step": step, "reason": reason, "digest": digest}
            await self.audit.note("model.upload.failed", name, **told)
            raise

    async def _upload(
        self, request: UploadRequest, keep: Callable[[], Awaitable[Kept]], steps: Steps, anew: bool
    ) -> tuple[Version, bool]:
        name = request.model
        async with self.operator.registry.lock(name), AsyncExitStack() as held, AsyncExitStack() as undo:
            with steps.named():
                steps.begin("store")
                kept = await keep()
                undo.push_async_callback(self.operator.store.release, kept.digest)
                steps.begin("inspect", digest=kept.digest, size_bytes=kept.size_bytes)
                manifest, needs = await asyncio.to_thread(self._manifest, name, request, kept)
                choice = await held.enter_async_context(self._environment(manifest, needs, request, steps))
                manifest = attrs.evolve(
                    manifest,
                    environment=choice.key,
                    requirements=needs.requirements,
                    warnings=(*manifest.warnings, *needs.notes, *choice.notes),
                )
                twin = self._twin(manifest, anew, told=bool(request.description))
                if twin:
                    return await self._reuse(twin, request.alias, anew), True
                if manifest.trust:  # from here on the artifact's code may run
                    told = {"names": manifest.trust, "digest": manifest.digest}
                    await self.audit.write("trust.given", version_of(manifest), **told)
                version = await self._first_start(manifest, request, steps, undo)
                lane = await self._warm(version, request, steps)
                steps.begin("publish")
                await uninterrupted(self._publish(version, lane, request.alias, undo))
                return version, False

    def _manifest(self, name: str, request: UploadRequest, kept: Kept) -> tuple[Manifest, Needs]:
        limits = self.operator.settings.limits.of_readers
        artifact = Artifact(kept.path, request.filename or name, limits)
        loader = self.operator.plugins.choose_loader(artifact, request.loader)
        backend = request.isolation or self.operator.settings.isolation.backend
        options, trust = admitted(loader, request.options, request.trust)
        warnings = inspect(self.operator.plugins, artifact, loader, trust)
        manifest = Manifest(
            model=name,
            version=self._next_number(name),
            loader=loader.name,
            plugin=self.operator.plugins.owner("prism_loaders", loader.name),
            artifact=artifact.name,
            digest=kept.digest,
            size_bytes=kept.size_bytes,
            created=time.time(),
            options=options,
            deterministic=loader.deterministic,
            row_independent=loader.row_independent,
            isolation=backend,
            replicas=request.replicas,
            min_replicas=request.min_replicas,
            max_replicas=request.max_replicas,
            idle_unload_s=request.idle_unload_s,
            pin=request.pin,
            threads=request.threads,
            timeout_s=request.timeout_s,
            memory_estimate_bytes=request.memory_estimate_bytes,
            memory_limit_bytes=request.memory_limit_bytes,
            preload=request.preload,
            trust=trust,
            batching=request.batching,
            warnings=warnings,
            optimize=request.optimize or self.operator.settings.optimize or "off",
            description=description_of(request.description, kept.path),
        )
        known = partial(self.operator.packages.known, loader.name)
        return manifest, needs_of(artifact, loader, request, trust, known)

    def _environment(
        self, manifest: Manifest, needs: Needs, request: UploadRequest, steps: Steps
    ) -> AbstractAsyncContextManager[Choice]:
        steps.begin("environment", isolation=manifest.isolation)
        distributions = self.operator.packages.distributions(manifest.loader, manifest.trust)
        lock = read_lock(request.constraints, distributions)
        return self.operator.packages.environments.chosen(
            needs, distributions, request.environment, steps.tell, lock
        )

    def _next_number(self, name: str) -> int:
        model = self.operator.registry.models.get(name)
        return model.last_version + 1 if model else 1

    def _twin(self, manifest: Manifest, anew: bool, *, told: bool) -> Version | None:
        """Return the version that is equal; for who asks ``anew`` none whose conversion was not tried.

        Who has ``told`` nothing of the model is content with what was told before.
        """
        model = self.operator.registry.models.get(manifest.model)
        versions = reversed(list(model.versions.values())) if model else ()
        equal = (v for v in versions if essence(v.manifest, told=told) == essence(manifest, told=told))
        return next((v for v in equal if not (anew and untried(v.manifest))), None)

    async def _reuse(self, version: Version, alias: str, anew: bool) -> Version:
        if anew:
            manifest = version.manifest
            told = {"digest": manifest.digest, "alias": alias, "duplicate": True}
            await self.audit.write("model.upload", version_of(manifest), **told)
            await self.operator.start(version)
            model = self.operator.registry.model(version.manifest.model)
            for one in dict.fromkeys((LATEST, alias or LATEST)):
                await self.operator.point(model, one, version)
        return version

    async def _first_start(
        self, manifest: Manifest, request: UploadRequest, steps: Steps, undo: AsyncExitStack
    ) -> Version:
        version = Version(manifest, published=False)
        self.operator.registry.put(version)
        undo.push_async_callback(self._abandon, version)
        self.operator.registry.tell("model.stored", manifest.model, manifest.version, digest=manifest.digest)
        place = await self.operator.place(manifest, tell=steps.tell)
        await self.operator.prepare_backend(manifest, place, steps.tell)
        await asyncio.to_thread(self.operator.clear_directories, manifest)
        if manifest.optimize == "auto":
            steps.begin("optimize")
            version.manifest = await self._optimized(manifest, request, undo)
        steps.begin("start", version=manifest.version, replicas=manifest.fewest)
        self.operator.registry.move(version, State.STARTING)
        crew, ready = await self.operator.start_replicas(version)
        undo.push_async_callback(self.operator.supervisor.stop, manifest.model, manifest.version, 0)
        steps.begin("warm", load_ms=ready.load_ms, framework=ready.framework)
        version.signature = signature_of(ready)
        manifest = version.manifest
        version.manifest = attrs.evolve(manifest, warnings=(*manifest.warnings, *ready.warnings))
        crew.manifest = version.manifest
        return version

    async def _optimized(self, manifest: Manifest, request: UploadRequest, undo: AsyncExitStack) -> Manifest:
        """Return the manifest with what came of the wish for a faster form."""
        work = self._converted(manifest, request, undo)
        optimization = await self.operator.until_broken_off(manifest, "it was optimized", work)
        return attrs.evolve(manifest, optimization=optimization)

    async def _converted(
        self, manifest: Manifest, request: UploadRequest, undo: AsyncExitStack
    ) -> Optimization:
        operator = self.operator
        optimizer = operator.plugins.optimizer(manifest.loader)
        if optimizer is None:
            return Optimization("kept", f"no plugin offers a faster form of models of {manifest.loader!r}")
        if manifest.environment != SERVER:
            return Optimization(
                "kept", "it runs in an environment of its own, which has nothing to convert it"
            )
        place = await operator.place(manifest, optimizer)
        workshop = Workshop(place, operator.records, operator.settings.limits)
        example = example_of(request.example, request.example_media_type)
        async with workshop.converted(manifest, optimizer, example) as (optimization, form):
            if form is None:
                return optimization
            self.checkpoint("optimize.made")
            kept = await operator.store.keep_path(form)
            undo.push_async_callback(operator.store.release, kept.digest)
            return attrs.evolve(optimization, digest=kept.digest, size_bytes=kept.size_bytes)

    async def _warm(self, version: Version, request: UploadRequest, steps: Steps) -> Lane:
        manifest = version.manifest
        lane = self.operator.lane_of(
            version, self.operator.supervisor.crews[manifest.model, manifest.version]
        )
        if request.example is not None:
            head = Head(request.example_media_type, cached=False)
            await lane.predict(head, decoded(request.example), manifest.timeout_s)
        return lane

    async def _publish(self, version: Version, lane: Lane, alias: str, undo: AsyncExitStack) -> None:
        manifest = version.manifest
        if version.state is not State.STARTING or version.signature is None:
            raise DeployError(f"The new version is {version.state}: {version.error or 'it did not stay up'}.")
        named = [alias] if alias and alias != LATEST else []
        told = {"digest": manifest.digest, "loader": manifest.loader, "alias": alias}
        await self.audit.write("model.upload", version_of(manifest), **told)
        model = self.operator.registry.model(manifest.model)
        change = await self.operator.records.publish(
            VersionRow(manifest, version.signature), named, self._led(model, version, named)
        )
        undo.pop_all()
        self.checkpoint("published")
        model.last_version, model.ceiling, version.published = manifest.version, None, True
        if change:
            take(model, change)
        model.named |= dict.fromkeys(named, manifest.version)
        self.operator.put_into_service(version, lane)

    def _led(self, model: Model, version: Version, named: list[str]) -> Change | None:
        """Return what a new version does to the traffic of a model; None where it is the first."""
        if model.latest is None:
            return None
        number = version.manifest.version
        after = Ways(model.route, {**model.named, **dict.fromkeys(named, number)})
        return planned(model, after, "model.upload", why=f"version {number}", latest=number)

    async def _abandon(self, version: Version) -> None:
        if version.state is State.STARTING:
            self.operator.registry.move(version, State.FAILED, error="the upload did not succeed")
        self.operator.registry.discard(version)
        await asyncio.to_thread(self.operator.clear_directories, version.manifest)


def untried(manifest: Manifest) -> bool:
    """Tell whether a faster form was asked for and it could not be found out whether there is one."""
    return manifest.optimization is not None and manifest.optimization.state == "failed"


def decoded(example: str) -> bytes:
    """Return the bytes of a base64 example."""
    try:
        return base64.b64decode(example, validate=True)
    except binascii.Error as error:
        raise InvalidParameter(
            "The example is not base64.", hint="Send the body that is to be predicted."
        ) from error
