"""What a gateway brings up by itself: what was served before, and the models of the settings.

In the background, and no failure stops the server: it is logged and shown.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import structlog

from prism_core.environments.lines import Stated
from prism_core.environments.stated import stated
from prism_core.errors import ConfigError, PrismError
from prism_core.gateway.bundling import found
from prism_core.gateway.deploy import Uploads
from prism_core.gateway.lifecycle import State
from prism_core.gateway.memory import needed_bytes
from prism_core.gateway.operate import Operator
from prism_core.gateway.registry import Version
from prism_core.gateway.views import UploadRequest
from prism_core.settings import ModelSettings, Settings

# How many models are brought up at a time.
ABREAST = 4

log = structlog.get_logger("prism.gateway")


@attrs.frozen(eq=False)
class Boot:
    """The start of a gateway, as long as it takes.

    Attributes
    ----------
    settled
        Set when everything that is to be served at start is READY or FAILED.
    problems
        Models of the settings that could not be brought up: name -> reason.
    """

    settings: Settings
    uploads: Uploads
    settled: asyncio.Event = attrs.field(factory=asyncio.Event)
    problems: dict[str, str] = attrs.field(factory=dict)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)
    _abreast: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(ABREAST))

    @property
    def operator(self) -> Operator:
        """What brings versions up."""
        return self.uploads.operator

    def begin(self) -> None:
        """Open the lanes of what was served before, and start bringing it up."""
        wanted = [version for version in self.operator.registry.versions() if version.wanted]
        for version in wanted:
            assert version.signature is not None
            # Requests wait for a version that was served before, instead of getting a 404.
            version.lane = self.operator.make_lane(version.manifest, version.signature)
        self.operator.registry.refresh()
        self._spawn(self._run(wanted))

    async def end(self) -> None:
        """Break off what is still being brought up."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, wanted: list[Version]) -> None:
        try:
            # First those that only have to be offered: their callers need not wait for all the others.
            loaded = self._preloaded(wanted)
            in_order = sorted(wanted, key=lambda v: (v in loaded, -v.manifest.created))
            await asyncio.gather(*(self._bring_up(version, version in loaded) for version in in_order))
            for name, model in self.settings.models.items():
                if model.path:
                    await self._bring_own(name, model)
        except Exception:
            log.exception("gateway.boot_failed")
        finally:
            self.settled.set()

    def _preloaded(self, wanted: list[Version]) -> set[Version]:
        """Return what is loaded at once: as much as fits, pinned versions first, then those used last.

        What is kept warm is loaded too, whether it is preloaded or not.
        """
        left = self.operator.loads.limit_bytes or math.inf
        chosen = set()
        for version in sorted(wanted, key=_precedence):
            need = needed_bytes(version.manifest, version.use.own_bytes, version.manifest.fewest)
            if (version.manifest.preload or version.use.warm_until) and need <= left:
                chosen.add(version)
                left -= need
        return chosen

    async def _bring_up(self, version: Version, load: bool) -> None:
        manifest = version.manifest
        async with self.operator.registry.lock(manifest.model):
            if version.state is not State.STORED or not version.wanted:
                return  # a user was quicker
            try:
                await self.operator.prepare(version)  # not abreast: others need not wait for what is built
                async with self._abreast:
                    if load:
                        await self.operator.bring_up(version, attempts=2)
                    else:
                        await self.operator.offer(version)
            except PrismError as error:
                log.error("model.start_failed", model=manifest.model, error=error.message)

    async def _bring_own(self, name: str, model: ModelSettings) -> None:
        path = Path(model.path).expanduser()
        try:
            if not path.exists():
                raise ConfigError(f"models.{name}.path names {model.path!r}, which does not exist.")
            request, operator = request_of(name, model), self.operator
            delivery = await asyncio.to_thread(found, operator.store, operator.plugins, request, path)
            await self.uploads.upload(delivery.request, delivery.keep, lambda step, facts: None, anew=False)
        except (PrismError, OSError) as error:
            self.problems[name] = str(error)
            log.error("model.preload_failed", model=name, error=str(error))


def _precedence(version: Version) -> tuple[Any, ...]:
    manifest, use = version.manifest, version.use
    return not manifest.pin, not use.warm_until, -use.last, -manifest.created


@asynccontextmanager
async def booting(settings: Settings, uploads: Uploads) -> AsyncIterator[Boot]:
    """Bring everything up in the background; at the end let what is in flight drain."""
    boot = Boot(settings, uploads)
    boot.begin()
    try:
        yield boot
    finally:
        await boot.end()
        lanes = {version.lane for version in boot.operator.registry.versions() if version.lane is not None}
        await asyncio.gather(*(lane.drain(settings.limits.drain_s) for lane in lanes))


def request_of(name: str, model: ModelSettings) -> UploadRequest:
    """Return what uploading a model of the settings asks for.

    Raises
    ------
    ConfigError
        If its file of requirements cannot be taken.
    """
    needs = Stated(python=model.python)
    if model.requirements:
        needs = stated(Path(model.requirements).expanduser(), model.python)
    for note in needs.notes:
        log.warning("model.requirements", model=name, note=note)
    return UploadRequest(
        name=name,
        filename=Path(model.path).name,
        loader=model.loader,
        alias=model.alias,
        replicas=model.replicas,
        min_replicas=model.min_replicas,
        max_replicas=model.max_replicas,
        idle_unload_s=model.idle_unload_s,
        pin=model.pin,
        threads=model.threads,
        options=model.options,
        trust=model.trust,
        isolation=model.isolation,
        timeout_s=model.timeout_s,
        memory_estimate_bytes=model.memory_estimate,
        memory_limit_bytes=model.memory_limit,
        preload=model.preload,
        batching=model.batching,
        optimize=model.optimize or ("off" if model.optimize is False else ""),
        environment=model.environment,
        requirements=needs.requirements,
        python=needs.python,
        description=model.description,
    )
