"""The use cases that bring stored versions up and down, and point aliases at them.

What must survive the process is written first; then memory changes. All but `Operator.fail`
are to be called with the model's lock held.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import structlog

from prism_core import wire
from prism_core.environment import SERVER, Environment
from prism_core.environments.environments import Environments
from prism_core.environments.resolving import Tell, tell_nobody
from prism_core.errors import (
    ArtifactDamaged,
    DeployError,
    IllegalTransition,
    LaunchFailed,
    ModelLoadFailed,
    PluginError,
    PrismError,
)
from prism_core.gateway.crew import Crew
from prism_core.gateway.extensions import Openings
from prism_core.gateway.lane import Lane, signature_of
from prism_core.gateway.lifecycle import State
from prism_core.gateway.loads import Loads
from prism_core.gateway.packages import Packages
from prism_core.gateway.records import Records
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.replica import Place
from prism_core.gateway.store import Store
from prism_core.gateway.supervisor import Supervisor
from prism_core.gateway.traffic.changes import Ways
from prism_core.gateway.traffic.leading import lead, planned, ways_of, without
from prism_core.gateway.views import check_name
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.protocols import Launcher, Prepares
from prism_core.settings import Settings
from prism_core.specs import Artifact, IsolationBackend, Optimizer
from prism_core.types import Signature

Result = TypeVar("Result")

log = structlog.get_logger("prism.operate")


@attrs.frozen(eq=False)
class Operator:
    """Everything that versions are brought up with.

    ``make_lane`` makes the lane of a manifest and a signature; ``run`` is where sockets lie;
    ``breakable`` is what `until_broken_off` does, by model and version.
    """

    settings: Settings
    plugins: PluginSet
    store: Store
    records: Records
    registry: Registry
    supervisor: Supervisor
    loads: Loads
    launchers: Openings[Launcher]
    make_lane: Callable[[Manifest, Signature], Lane]
    data: Path
    run: Path
    packages: Packages = attrs.Factory(
        lambda self: Packages(
            self.plugins, Environments(self.data / "environments", self.settings.environments)
        ),
        takes_self=True,
    )
    breakable: dict[tuple[str, int], asyncio.Future[Any]] = attrs.field(factory=dict)

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
            crew, ready = await self.start_replicas(version, attempts)
        except PrismError as error:
            self.fail(version, error)
            raise
        except BaseException:
            self.fail(version, DeployError("The start was broken off."))
            raise
        version.signature = signature_of(ready)
        lane = self.lane_of(version, crew)
        self.put_into_service(version, lane, load_ms=round(ready.load_ms, 1))

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
        check_unaliased(model, versions)
        numbers = [v.manifest.version for v in versions]
        whole = len(versions) == len(model.versions)
        for version in versions:
            await self._take_down(version)
        await self.records.remove(model.name, numbers, whole=whole)
        for version in versions:
            self.registry.discard(version)
            self.registry.tell("model.removed", model.name, version.manifest.version)
            for digest in version.manifest.digests:
                await self.store.release(digest)
            await asyncio.to_thread(self.clear_directories, version.manifest)
        if any(version.manifest.environment != SERVER for version in versions):
            await self.collect_environments()

    def break_off(self, versions: list[Version]) -> None:
        """End the starts of versions that nobody wants any more; whoever waits for one is told.

        To be called without the model's lock: who starts a version holds it.
        """
        for version in versions:
            version.wanted = False
            self.supervisor.break_off(version.manifest.model, version.manifest.version)
            if task := self.breakable.get((version.manifest.model, version.manifest.version)):
                task.cancel()

    async def until_broken_off(
        self, manifest: Manifest, doing: str, work: Coroutine[Any, Any, Result]
    ) -> Result:
        """Do what takes long for a version, unless `break_off` ends it.

        Raises
        ------
        IllegalTransition
            If that happens; ``doing`` says when.
        """
        key = (manifest.model, manifest.version)
        task: asyncio.Future[Result] = asyncio.ensure_future(work)
        self.breakable[key] = task
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                raise
            raise IllegalTransition(
                f"Version {manifest.version} of {manifest.model!r} was told to stop while {doing}."
            ) from None
        finally:
            del self.breakable[key]

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
            lane.fail()
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
        await self._lead(model, without(ways_of(model), alias), "alias.remove")

    async def _point(self, model: Model, alias: str, version: Version) -> None:
        ways = ways_of(model)
        aliases = {**ways.aliases, alias: version.manifest.version}
        await self._lead(model, attrs.evolve(ways, aliases=aliases), "alias.set")

    async def _hold(self, model: Model, version: Version) -> None:
        newest = version.manifest.version == max(model.versions)
        await self._set_ceiling(model, None if newest else version.manifest.version)

    async def _set_ceiling(self, model: Model, ceiling: int | None) -> None:
        await self._lead(model, attrs.evolve(ways_of(model), ceiling=ceiling), "alias.set")

    async def _lead(self, model: Model, after: Ways, action: str) -> None:
        await lead(self.records, self.registry, planned(model, after, action))

    # --- environments ----------------------------------------------------------------------

    async def environment(self, manifest: Manifest, tell: Tell = tell_nobody) -> Environment | None:
        """As `Packages.ready`, until the version is told to stop."""
        if manifest.environment == SERVER:
            return None
        work = self.packages.ready(manifest, tell)
        return await self.until_broken_off(manifest, "its environment was built", work)

    async def prepare_backend(self, manifest: Manifest, place: Place, tell: Tell) -> None:
        """Let the isolation backend make what it starts replicas of an environment with, such as an image.

        Raises
        ------
        PrismError
            If it cannot.
        """
        if isinstance(place.launcher, Prepares):
            work = place.launcher.prepare(place.recipe, tell)
            await self.until_broken_off(manifest, "its environment was prepared", work)

    async def prepare(self, version: Version) -> None:
        """See to it that a stored version's environment is there; without it the version is FAILED."""
        try:
            await self.environment(version.manifest)
        except PrismError as error:
            self.registry.move(version, State.STARTING)
            self.fail(version, error)
            raise

    async def collect_environments(self) -> list[str]:
        """Remove environments that no version has; return the names of what went."""
        return await self.packages.environments.collect(
            lambda: [version.manifest.environment for version in self.registry.versions()]
        )

    # --- parts -----------------------------------------------------------------------------

    async def place(
        self, manifest: Manifest, optimizer: Optimizer | None = None, tell: Tell = tell_nobody
    ) -> Place:
        """Return where the version's replicas are started; opens the isolation backend if needed.

        With an ``optimizer``: where its model is converted.

        Raises
        ------
        PluginError
            If the loader or the backend is not there any more.
        EnvironmentFailed
            If its environment is not there and cannot be built.
        """
        manifest = manifest.served
        loader = self.plugins.choose_loader(Artifact(Path(), manifest.artifact), manifest.loader)
        launcher = await self.launchers.get(manifest.isolation)
        backend = self.launchers.records[manifest.isolation]
        assert isinstance(backend, IsolationBackend)
        artifact = self.store.path(manifest.digest)
        environment = await self.environment(manifest, tell)
        of_others = environment is not None or backend.transport == "own"
        return Place(
            launcher=launcher,
            backend=backend.name,
            transport=backend.transport,
            artifact=artifact,
            plugins=self.plugins.runtime_plugins(loader.name, optimizer),
            warm=loader.requires,
            replicas=self.data / "replicas",
            run=self.run,
            ready_s=self.settings.limits.ready_s,
            drain_s=self.settings.limits.drain_s,
            whole=partial(self.store.soundness.check, artifact, manifest.digest),
            sandbox=self.settings.isolation.wish,
            private=(self.data, self.run),
            limits=self.settings.limits.of_readers,
            python=environment.python if environment else sys.executable,
            recipe=await self.packages.recipe(manifest, optimizer) if of_others else None,
        )

    async def start_replicas(self, version: Version, attempts: int = 1) -> tuple[Crew, wire.Ready]:
        """Start a version's replicas, in the original form where the converted one does not load any more."""
        place = await self.place_of(version)
        try:
            return await self.launch(version, place, attempts)
        except (ArtifactDamaged, ModelLoadFailed, LaunchFailed) as error:
            self._serve_original(version, error)
        return await self.launch(version, await self.place(version.manifest), attempts)

    async def place_of(self, version: Version) -> Place:
        """Return the version's place; that of its original form where the other's plugin is gone."""
        try:
            return await self.place(version.manifest)
        except PluginError as error:
            self._serve_original(version, error)
        return await self.place(version.manifest)

    def _serve_original(self, version: Version, error: PrismError) -> None:
        """Let the version be served as it was uploaded; raises ``error`` again where it is already."""
        manifest = version.manifest
        if manifest.served is manifest:
            raise error
        log.warning("model.form_not_loaded", model=manifest.model, error=error.message)
        version.manifest = manifest.with_original(
            f"the converted form does not load any more: {error.message}"
        )

    async def launch(self, version: Version, place: Place, attempts: int = 1) -> tuple[Crew, wire.Ready]:
        """Start a version's replicas, if there is memory for them; see `Loads.fill`."""
        crew = self.supervisor.enlist(version.manifest, place, version.use)
        try:
            return crew, await self.loads.fill(crew, attempts)
        except BaseException:
            self.supervisor.discharge(crew)
            raise

    async def offer(self, version: Version) -> None:
        """Put a stored version into service without loading it: its first call does.

        Raises
        ------
        PluginError
            If its loader or its backend is not there any more.
        """
        try:
            place = await self.place_of(version)
        except PrismError as error:
            self.fail(version, error)
            raise
        crew = self.supervisor.enlist(version.manifest, place, version.use)
        lane = self.lane_of(version, crew)
        self.registry.move(version, State.STARTING)
        self.put_into_service(version, lane, loaded=False)
        if lane.in_flight and lane.wake:  # somebody was quicker
            lane.wake()

    def lane_of(self, version: Version, crew: Crew) -> Lane:
        """Return the version's lane, served by ``crew`` from now on."""
        assert version.signature is not None
        lane = version.lane or self.make_lane(version.manifest, version.signature)
        lane.wake = partial(self.loads.wake, crew)
        crew.serve(lane)
        return lane

    def put_into_service(self, version: Version, lane: Lane, **facts: Any) -> None:
        """Let predictions come to a version that has started."""
        if version.state is State.STARTING:  # it may have died and failed meanwhile
            version.lane = lane
            self.registry.move(version, State.READY, **facts)
            self.registry.refresh()

    def directories(self, manifest: Manifest) -> list[Path]:
        """Return the directories that the version's replicas have, in order of their numbers."""
        prefix = f"{manifest.model}-{manifest.version}-"
        found = (self.data / "replicas").glob(f"{prefix}*")
        numbered = [path for path in found if path.name.removeprefix(prefix).isdecimal()]
        return sorted(numbered, key=lambda path: int(path.name.removeprefix(prefix)))

    def clear_directories(self, manifest: Manifest) -> None:
        """Remove what the version's replicas have left on disk."""
        for directory in self.directories(manifest):
            shutil.rmtree(directory, ignore_errors=True)


def check_unaliased(model: Model, versions: list[Version]) -> None:
    """Raise `IllegalTransition` if an alias points to one of ``versions`` while others stay."""
    numbers = [v.manifest.version for v in versions]
    for alias, number in model.named.items():
        if number in numbers and len(numbers) < len(model.versions):
            raise IllegalTransition(
                f"Version {number} of {model.name!r} is what @{alias} means; it cannot be removed.",
                hint=f"Point {alias} elsewhere first: prism alias {model.name} {alias} VERSION.",
            )
