"""The use cases that bring versions up and down: upload, start, stop, remove.

An upload has an undo for each step on one exit stack, and one moment of truth: the
transaction that stores the version. Before it, whatever fails or is killed leaves the
old state; after it, the new one. The previous version serves all the while.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import difflib
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec
import structlog

from prism_core import wire
from prism_core.errors import (
    ConfigError,
    DeployError,
    IllegalTransition,
    InvalidParameter,
    PrismError,
    UnsafeArtifact,
)
from prism_core.gateway.extensions import Openings
from prism_core.gateway.lane import Head, Lane, signature_of
from prism_core.gateway.lifecycle import State
from prism_core.gateway.memory import check_room
from prism_core.gateway.records import Records, VersionRow
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.store import Checkpoint, Kept, Store
from prism_core.gateway.supervisor import Crew, Place, Supervisor, retry_at_boot
from prism_core.gateway.views import UploadRequest, check_name
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.protocols import Launcher
from prism_core.settings import Settings
from prism_core.specs import Artifact, Finding, IsolationBackend, Loader, Severity
from prism_core.types import Signature

Progress = Callable[[str, Mapping[str, Any]], None]
Result = TypeVar("Result")

log = structlog.get_logger("prism.deploy")


class Steps:
    """Where an upload is: told to whoever waits, and named in what goes wrong."""

    def __init__(self, progress: Progress, checkpoint: Checkpoint) -> None:
        self.name = ""
        self._progress = progress
        self._checkpoint = checkpoint

    def begin(self, name: str, **facts: Any) -> None:
        """Enter a step."""
        self.name = name
        self._checkpoint(name)
        self._progress(name, facts)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the step's name into the details of whatever is raised."""
        try:
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
class Publisher:
    """Everything that versions are brought up with.

    ``make_lane`` makes the lane of a manifest and a signature; ``run`` is where sockets lie.
    """

    settings: Settings
    plugins: PluginSet
    store: Store
    records: Records
    registry: Registry
    supervisor: Supervisor
    launchers: Openings[Launcher]
    make_lane: Callable[[Manifest, Signature], Lane]
    data: Path
    run: Path
    checkpoint: Checkpoint

    # --- upload --------------------------------------------------------------------

    async def upload(
        self,
        request: UploadRequest,
        keep: Callable[[], Awaitable[Kept]],
        progress: Progress,
        *,
        take_over: bool = True,
    ) -> tuple[Version, bool]:
        """Bring a new version into service, or find the one that is equal to it.

        Parameters
        ----------
        keep
            Takes the artifact into the store and holds it once.
        take_over
            Whether ``latest`` moves, if the version is there already, to what was just uploaded.

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
        steps = Steps(progress, self.checkpoint)
        async with self.registry.lock(name), AsyncExitStack() as undo:
            with steps.named():
                steps.begin("store")
                kept = await keep()
                undo.push_async_callback(self.store.release, kept.digest)
                steps.begin("inspect", digest=kept.digest, size_bytes=kept.size_bytes)
                manifest = await asyncio.to_thread(self._manifest, name, request, kept)
                twin = self._twin(manifest)
                if twin:
                    return await self._reuse(twin, request.alias, take_over), True
                version = await self._first_start(manifest, steps, undo)
                lane = await self._warm(version, request, steps)
                steps.begin("publish")
                await uninterrupted(self._publish(version, lane, request.alias, undo))
                return version, False

    def _manifest(self, name: str, request: UploadRequest, kept: Kept) -> Manifest:
        artifact = Artifact(kept.path, request.filename or name)
        loader = self.plugins.choose_loader(artifact, request.loader)
        backend = request.isolation or self.settings.isolation
        return Manifest(
            model=name,
            version=self._next_number(name),
            loader=loader.name,
            plugin=self.plugins.owner("prism_loaders", loader.name),
            artifact=artifact.name,
            digest=kept.digest,
            size_bytes=kept.size_bytes,
            created=time.time(),
            options=checked_options(loader, request.options, request.trust),
            deterministic=loader.deterministic,
            row_independent=loader.row_independent,
            isolation=backend,
            replicas=request.replicas,
            threads=request.threads,
            timeout_s=request.timeout_s,
            memory_estimate_bytes=request.memory_estimate_bytes,
            memory_limit_bytes=request.memory_limit_bytes,
            preload=request.preload,
            trust=request.trust,
            batching=request.batching,
            warnings=inspect(self.plugins, artifact, loader),
        )

    def _next_number(self, name: str) -> int:
        model = self.registry.models.get(name)
        return model.last_version + 1 if model else 1

    def _twin(self, manifest: Manifest) -> Version | None:
        model = self.registry.models.get(manifest.model)
        versions = reversed(list(model.versions.values())) if model else ()
        return next((v for v in versions if essence(v.manifest) == essence(manifest)), None)

    async def _reuse(self, version: Version, alias: str, take_over: bool) -> Version:
        if version.state in (State.STOPPED, State.FAILED):
            await self._start(version)
        model = self.registry.model(version.manifest.model)
        if alias and alias != LATEST:
            await self._point(model, alias, version)
        if take_over:
            await self._hold(model, version)
        return version

    async def _first_start(self, manifest: Manifest, steps: Steps, undo: AsyncExitStack) -> Version:
        version = Version(manifest, published=False)
        self.registry.put(version)
        undo.callback(self._abandon, version)
        self.registry.tell("model.stored", manifest.model, manifest.version, digest=manifest.digest)
        steps.begin("environment", environment=manifest.environment, isolation=manifest.isolation)
        place = await self.place(manifest)
        await asyncio.to_thread(self._clear_directories, manifest)
        steps.begin("start", version=manifest.version, replicas=manifest.replicas)
        self.registry.move(version, State.STARTING)
        crew, ready = await self._launch(manifest, place)
        undo.push_async_callback(self.supervisor.stop, manifest.model, manifest.version, 0)
        steps.begin("warm", load_ms=ready.load_ms, framework=ready.framework)
        version.signature = signature_of(ready)
        version.manifest = attrs.evolve(manifest, warnings=(*manifest.warnings, *ready.warnings))
        crew.manifest = version.manifest
        return version

    async def _warm(self, version: Version, request: UploadRequest, steps: Steps) -> Lane:
        manifest = version.manifest
        assert version.signature is not None
        lane = self.make_lane(manifest, version.signature)
        self.supervisor.crews[manifest.model, manifest.version].serve(lane)
        if request.example is not None:
            head = Head(request.example_media_type, cached=False)
            await lane.predict(head, decoded(request.example), manifest.timeout_s)
        return lane

    async def _publish(self, version: Version, lane: Lane, alias: str, undo: AsyncExitStack) -> None:
        manifest = version.manifest
        if version.state is not State.STARTING or version.signature is None:
            raise DeployError(f"The new version is {version.state}: {version.error or 'it did not stay up'}.")
        named = [alias] if alias and alias != LATEST else []
        await self.records.publish(VersionRow(manifest, version.signature), named)
        undo.pop_all()
        self.checkpoint("published")
        model = self.registry.model(manifest.model)
        model.last_version, model.ceiling, version.published = manifest.version, None, True
        model.named |= dict.fromkeys(named, manifest.version)
        self._put_into_service(version, lane)

    def _abandon(self, version: Version) -> None:
        if version.state is State.STARTING:
            self.registry.move(version, State.FAILED, error="the upload did not succeed")
        self.registry.discard(version)

    # --- start and stop --------------------------------------------------------------

    async def start(self, version: Version) -> None:
        """Bring a version up that is not; store that it is wanted. To be called with the model's lock."""
        if version.state in (State.STOPPED, State.FAILED, State.STORED):
            await self._start(version)

    async def _start(self, version: Version) -> None:
        manifest = version.manifest
        await self.records.set_wanted(manifest.model, [manifest.version], True)
        version.wanted = True
        await self.bring_up(version)

    async def bring_up(self, version: Version, *, attempts: int = 1) -> None:
        """Start a stored version's replicas and put it into service.

        Raises
        ------
        PrismError
            Why it could not; the version is FAILED then.
        """
        manifest = version.manifest
        self.registry.move(version, State.STARTING)
        version.error = ""
        await self.supervisor.stop(manifest.model, manifest.version, 0)  # what is left of a failed crew
        try:
            place = await self.place(manifest)
            crew, ready = await self._launch(manifest, place, attempts)
        except PrismError as error:
            self.fail(version, error)
            raise
        except BaseException:
            self.fail(version, DeployError("The start was broken off."))
            raise
        version.signature = signature_of(ready)
        lane = version.lane or self.make_lane(manifest, version.signature)
        crew.serve(lane)
        self._put_into_service(version, lane, load_ms=round(ready.load_ms, 1))

    async def stop(self, version: Version) -> None:
        """Take a version out of service and store that. To be called with the model's lock."""
        manifest = version.manifest
        await self.records.set_wanted(manifest.model, [manifest.version], False)
        version.wanted = False
        await self._take_down(version)

    async def remove(self, model: Model, versions: list[Version]) -> None:
        """Stop and forget versions; with the last one the model. To be called with the model's lock.

        Raises
        ------
        IllegalTransition
            If an alias points to one of them while others stay; nothing is changed.
        """
        numbers = [v.manifest.version for v in versions]
        whole = len(versions) == len(model.versions)
        for alias, number in model.named.items():
            if number in numbers and not whole:
                raise IllegalTransition(
                    f"Version {number} of {model.name!r} is what @{alias} means; it cannot be removed.",
                    hint=f"Point {alias} elsewhere first: prism alias {model.name} {alias} VERSION.",
                )
        for version in versions:
            await self._take_down(version)
        await self.records.remove(model.name, numbers, whole=whole)
        for version in versions:
            self.registry.discard(version)
            self.registry.tell("model.removed", model.name, version.manifest.version)
            await self.store.release(version.manifest.digest)
            await asyncio.to_thread(self._clear_directories, version.manifest)

    async def _take_down(self, version: Version) -> None:
        manifest = version.manifest
        if version.state is State.STOPPED:
            return
        if version.state in (State.FAILED, State.STORED):
            await self.supervisor.stop(manifest.model, manifest.version, 0)
            self.registry.move(version, State.STOPPED)
            return
        self.registry.move(version, State.DRAINING)
        lane, version.lane = version.lane, None
        self.registry.refresh()
        if lane:
            await lane.drain(self.settings.limits.drain_s)
        await self.supervisor.stop(manifest.model, manifest.version, self.settings.limits.drain_s)
        self.registry.move(version, State.STOPPED)

    def fail(self, version: Version, error: PrismError) -> None:
        """Take a version out of service that cannot be kept up."""
        version.error = error.message
        lane, version.lane = version.lane, None
        if lane:
            lane.close()
        if version.state in (State.STARTING, State.READY):
            self.registry.move(version, State.FAILED, error=error.message, code=error.code)
        self.registry.refresh()

    # --- aliases -------------------------------------------------------------------------

    async def point(self, model: Model, alias: str, version: Version) -> None:
        """Let ``alias`` lead to ``version``. To be called with the model's lock.

        Raises
        ------
        IllegalTransition
            If the version takes no predictions.
        """
        if version.lane is None:
            raise IllegalTransition(
                f"Version {version.manifest.version} of {model.name!r} is {version.state}; "
                "an alias can only lead to a version that is ready.",
                hint=f"prism start {model.name} --version {version.manifest.version}",
            )
        if alias == LATEST:
            await self._hold(model, version)
        else:
            await self._point(model, check_name(alias, "alias"), version)

    async def unpoint(self, model: Model, alias: str) -> None:
        """Forget an alias; forgetting ``latest`` lets it follow the newest version again."""
        if alias == LATEST:
            await self._set_ceiling(model, None)
            return
        if alias not in model.named:
            raise self.registry.explain(f"{model.name}@{alias}")
        await self.records.remove_alias(model.name, alias)
        del model.named[alias]
        self.registry.refresh()

    async def _point(self, model: Model, alias: str, version: Version) -> None:
        await self.records.set_alias(model.name, alias, version.manifest.version)
        model.named[alias] = version.manifest.version
        self.registry.refresh()

    async def _hold(self, model: Model, version: Version) -> None:
        newest = version.manifest.version == max(model.versions)
        await self._set_ceiling(model, None if newest else version.manifest.version)

    async def _set_ceiling(self, model: Model, ceiling: int | None) -> None:
        if ceiling != model.ceiling:
            await self.records.set_ceiling(model.name, ceiling)
            model.ceiling = ceiling
            self.registry.refresh()

    # --- parts -----------------------------------------------------------------------------

    async def place(self, manifest: Manifest) -> Place:
        """Return where the version's replicas are started; opens the isolation backend if needed.

        Raises
        ------
        PluginError
            If the loader or the backend is not there any more.
        """
        loader = self.plugins.choose_loader(Artifact(Path(), manifest.artifact), manifest.loader)
        launcher = await self.launchers.get(manifest.isolation)
        backend = self.launchers.records[manifest.isolation]
        assert isinstance(backend, IsolationBackend)
        return Place(
            launcher=launcher,
            backend=backend.name,
            transport=backend.transport,
            artifact=self.store.path(manifest.digest),
            plugins=self.plugins.runtime_plugins(loader.name),
            warm=loader.requires,
            replicas=self.data / "replicas",
            run=self.run,
            ready_s=self.settings.limits.ready_s,
            drain_s=self.settings.limits.drain_s,
        )

    async def _launch(self, manifest: Manifest, place: Place, attempts: int = 1) -> tuple[Crew, wire.Ready]:
        if self.settings.memory.hard_limit:
            check_room(manifest, await self.supervisor.measure(), self.settings.memory.hard_limit)
        while True:
            attempts -= 1
            try:
                return await self.supervisor.start(manifest, place)
            except PrismError as error:
                if not attempts or not retry_at_boot(error):
                    raise

    def _put_into_service(self, version: Version, lane: Lane, **facts: Any) -> None:
        if version.state is State.STARTING:  # it may have died and failed meanwhile
            version.lane = lane
            self.registry.move(version, State.READY, **facts)
            self.registry.refresh()

    def _clear_directories(self, manifest: Manifest) -> None:
        for directory in (self.data / "replicas").glob(f"{manifest.model}-{manifest.version}-*"):
            if directory.name.removeprefix(f"{manifest.model}-{manifest.version}-").isdecimal():
                shutil.rmtree(directory, ignore_errors=True)


def inspect(plugins: PluginSet, artifact: Artifact, loader: Loader) -> tuple[str, ...]:
    """Ask every inspector about an artifact; return the warnings.

    Raises
    ------
    UnsafeArtifact
        If one blocks; an inspector that fails blocks too.
    """
    findings: list[Finding] = []
    for implementation in plugins.hooks.prism_inspect_artifact.get_hookimpls():
        try:
            # One at a time and not through the hook, so that a failure has a name.
            arguments = {"artifact": artifact, "loader": loader}
            findings += implementation.function(*(arguments[name] for name in implementation.argnames)) or ()
        except Exception as error:
            log.exception("inspector.failed", plugin=implementation.plugin_name)
            text = f"Inspector {implementation.plugin_name!r} failed: {type(error).__name__}: {error}"
            findings.append(Finding(Severity.BLOCK, text, hint="Repair or uninstall the plugin."))
    blocking = [f for f in findings if f.severity is Severity.BLOCK]
    if blocking:
        raise UnsafeArtifact(
            " ".join(f.message for f in blocking),
            hint=blocking[0].hint,
            details={"findings": [attrs.asdict(f) for f in findings]},
        )
    return tuple(f.message for f in findings if f.severity is Severity.WARNING)


def checked_options(
    loader: Loader, options: Mapping[str, Any], trust: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return options as the loader's class types them; text from a command line becomes numbers.

    Options that the loader does not know are kept: normalizers have options too. Trusted
    names become the option ``trust`` of a loader that has one.

    Raises
    ------
    ConfigError
        For a wrong value, or a name that looks like a slip.
    """
    known = {field.name for field in attrs.fields(loader.options)}
    if trust and "trust" in known:
        options = {**options, "trust": trust}
    for name in options:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and close:
            raise ConfigError(
                f"Loader {loader.name!r} has no option {name!r}.", hint=f"Did you mean {close[0]!r}?"
            )
    try:
        typed: Any = msgspec.convert(options, loader.options, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The options of loader {loader.name!r} are wrong: {error}.") from error
    return {k: msgspec.to_builtins(getattr(typed, k)) if k in known else v for k, v in options.items()}


def essence(manifest: Manifest) -> Manifest:
    """Return what makes two uploads the same: all but the number, the time and what was said about it."""
    return attrs.evolve(manifest, version=0, created=0.0, artifact="", warnings=(), trust=(), preload=True)


def decoded(example: str) -> bytes:
    """Return the bytes of a base64 example."""
    try:
        return base64.b64decode(example, validate=True)
    except binascii.Error as error:
        raise InvalidParameter(
            "The example is not base64.", hint="Send the body that is to be predicted."
        ) from error


async def uninterrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Await ``work`` to its end, also when the caller is cancelled meanwhile; that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
