"""The environments of one server: choose, resolve, build once for all who wait, mend, collect.

Everything slow happens in uv's process or in a thread. `Environments.chosen` decides, `Environments.ready`
makes what was decided; a server that starts asks only the latter.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import attrs
import structlog

from prism_core.environment import SERVER, Environment, Pin, Requirement
from prism_core.environments.building import build
from prism_core.environments.closure import closure
from prism_core.environments.disk import Disk
from prism_core.environments.interpreters import interpreter, own
from prism_core.environments.locks import Lock
from prism_core.environments.needs import Needs, fits, satisfied
from prism_core.environments.resolving import (
    LOOP,
    OF_PRISM,
    Resolver,
    Tell,
    key_of,
    lacking,
    tell_nobody,
)
from prism_core.environments.sharing import Shared, to_its_end
from prism_core.environments.uv import Uv, find_uv
from prism_core.environments.wheels import Wheel, installed, is_installed, repack
from prism_core.errors import EnvironmentFailed
from prism_core.settings import EnvironmentSettings

# Builds at a time: each of them compiles on all processors.
ABREAST = 2

log = structlog.get_logger("prism.environments")


@attrs.frozen
class Choice:
    """The environment of a version, and what its owner should know about it."""

    key: str
    notes: tuple[str, ...] = ()


class Environments:
    """All environments of a data directory."""

    def __init__(self, directory: Path, settings: EnvironmentSettings) -> None:
        self.disk = Disk(directory)
        self._settings = settings
        self._wheels: dict[str, Wheel] = {}
        self._resolved: dict[str, Environment] = {}
        self._sound: dict[str, Environment] = {}
        self._server: dict[Path, Environment] = {}
        self._held: Counter[str] = Counter()
        self._shared = Shared()
        self._abreast = asyncio.Semaphore(ABREAST)
        self._packing = asyncio.Lock()
        self._collecting = asyncio.Lock()

    # --- choose ----------------------------------------------------------------------

    @asynccontextmanager
    async def chosen(
        self,
        needs: Needs,
        distributions: Sequence[str],
        mode: str = "",
        tell: Tell = tell_nobody,
        lock: Lock = Lock(),
    ) -> AsyncIterator[Choice]:
        """Choose the environment of a model with ``needs``; it need not be there yet.

        It is not collected while this is open; afterwards only a version that is known keeps it.

        Parameters
        ----------
        distributions
            PRISM's own and those of plugins that its runtime loads.
        mode
            "auto": the server's where that has everything; "server": that one in any case; "" as the
            settings have it.
        lock
            Versions of what is installed anyway.

        Raises
        ------
        PrismError
            If there is no environment with all that is needed.
        """
        names = [one.name for one in needs.requirements]
        reasons = satisfied(needs, _installed(names), own().version)
        if lock.held:
            used = await asyncio.to_thread(closure, dict.fromkeys((*distributions, *names), ""))
            reasons = (*reasons, *lock.broken({pin.name: pin.version for pin in used}))
        if not reasons:
            yield Choice(SERVER)
        elif (mode or self._settings.mode) == "server":
            yield Choice(SERVER, tuple(f"The server's own environment is used, though {r}." for r in reasons))
        else:
            log.info("environment.wanted", reasons=list(reasons))
            found = await self._resolve(needs, distributions, lock, tell)
            try:
                yield Choice(found.key, tuple(_left_out(found)))
            finally:
                self._release(found.key)

    async def _resolve(
        self, needs: Needs, distributions: Sequence[str], lock: Lock, tell: Tell
    ) -> Environment:
        """Return an environment, held: what releases it is `_release`."""
        own_names = set(distributions)
        wanted = tuple(one for one in needs.requirements if one.name not in own_names)
        wheels = await self.wheels(distributions)
        async with self._collecting:
            found = await asyncio.to_thread(self._equal, wanted, needs.python, own_names, lock)
            if found:
                return self._hold(found)
        resolver = self._resolver(distributions, lock)
        with self.disk.scratch() as scratch:
            python = await interpreter(resolver.uv, needs.python)
            pins = await resolver.pins(wanted, wheels, python, scratch, tell)
        key = key_of(pins, python)
        async with self._collecting:
            return self._hold(Environment(key, str(self.disk.python(key)), python.version, pins, wanted))

    def _hold(self, environment: Environment) -> Environment:
        self._held[environment.key] += 1
        return self._resolved.setdefault(environment.key, environment)

    def _release(self, key: str) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
            self._resolved.pop(key, None)

    def _equal(
        self, requirements: Collection[Requirement], python: str, own_names: set[str], lock: Lock
    ) -> Environment | None:
        """Return an environment that was resolved from the same: a newer release is no reason for another."""
        asked = {one.pep508 for one in requirements}
        wanted_python = python or own().minor
        for found in (*self._resolved.values(), *self.disk.environments()):
            same = {one.pep508 for one in found.requirements} == asked
            packed = {pin.name for pin in found.pins if pin.wheel} == own_names
            locked = not lock.broken({pin.name: pin.version for pin in found.pins})
            if same and packed and locked and fits(wanted_python, found.python_version):
                return found
        return None

    # --- make ------------------------------------------------------------------------

    async def ready(self, key: str, distributions: Sequence[str], tell: Tell = tell_nobody) -> Environment:
        """Return an environment that is there and whole; it is built where it is not.

        Its PRISM is this server's: after an update of the server that is replaced.

        Raises
        ------
        PrismError
            If it cannot be built.
        """
        if key not in self._sound or not self.disk.python(key).exists():
            await self._shared.run(key, partial(self._prepare, key, distributions), tell)
        return self._sound[key]

    async def _prepare(self, key: str, distributions: Sequence[str], tell: Tell) -> None:
        resolved = self._resolved.get(key)
        stored = resolved if resolved else await asyncio.to_thread(self.recipe, key)
        wanted = await self._with_own(stored, distributions)
        problem = await asyncio.to_thread(self.disk.problem, wanted) if wanted == stored else "PRISM changed"
        if problem:
            log.info("environment.building", key=key, reason=problem, packages=len(wanted.pins))
            resolver = self._resolver(distributions)
            async with self._abreast:
                python = await interpreter(resolver.uv, _minor(wanted.python_version))
                wanted = attrs.evolve(wanted, python_version=python.version)
                await build(resolver, self.disk, wanted, python, tell)
            log.info("environment.built", key=key)
        self._sound[key] = wanted

    async def _with_own(self, stored: Environment, distributions: Sequence[str]) -> Environment:
        """Return an environment with PRISM's distributions as they are now, and what these need."""
        wheels = await self.wheels(distributions)
        others = tuple(pin for pin in stored.pins if not pin.wheel)
        packed = tuple(Pin(wheel.name, wheel.version, OF_PRISM, str(wheel.path)) for wheel in wheels)
        pins = tuple(sorted((*others, *packed), key=lambda pin: pin.name))
        if lacking(distributions, pins, stored.python_version):
            pins = await self._more(stored, others, wheels, distributions)
        return attrs.evolve(stored, python=str(self.disk.python(stored.key)), pins=pins)

    async def _more(
        self,
        stored: Environment,
        others: Iterable[Pin],
        wheels: Sequence[Wheel],
        distributions: Sequence[str],
    ) -> tuple[Pin, ...]:
        """Return the pins of an environment as they were, and what a newer PRISM needs beside them."""
        exactly = [Requirement(pin.name, f"=={pin.version}", pin.reason) for pin in others]
        resolver = self._resolver(distributions)
        with self.disk.scratch() as scratch:
            python = await interpreter(resolver.uv, _minor(stored.python_version))
            return await resolver.pins(exactly, wheels, python, scratch)

    # --- the server's own ------------------------------------------------------------

    async def servers(
        self, distributions: Sequence[str], requirements: Collection[Requirement] = ()
    ) -> tuple[Environment, Path]:
        """Return what of the server's own environment a model needs, and the file of this recipe."""
        distributions = [name for name in distributions if is_installed(name)]
        names = [*distributions, *sorted(one.name for one in requirements)]
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
        path = self.disk.directory / f"{SERVER}-{digest}.json"
        if path not in self._server:
            wheels = await self.wheels(distributions)
            found = await asyncio.to_thread(_own_environment, distributions, requirements, wheels)
            await asyncio.to_thread(self.disk.write, found, path)
            self._server[path] = found
        return self._server[path], path

    async def wheels(self, distributions: Iterable[str]) -> list[Wheel]:
        """Return wheels of installed distributions, made once for as long as the server runs."""
        async with self._packing:
            for name in distributions:
                if name not in self._wheels or not self._wheels[name].path.is_file():
                    found = installed(name)
                    self._wheels[name] = await asyncio.to_thread(repack, found, self.disk.wheels)
        return [self._wheels[name] for name in distributions]

    # --- look and clean --------------------------------------------------------------

    def recipe(self, key: str) -> Environment:
        """Return an environment as its recipe has it.

        Raises
        ------
        EnvironmentFailed
            If there is none that can be read.
        """
        if found := self._sound.get(key) or self.disk.read(key):
            return found
        raise EnvironmentFailed(
            f"The recipe of the model's environment {key} is lost.",
            hint="Upload the model again: its environment is resolved anew.",
        )

    async def collect(self, wanted: Callable[[], Iterable[str]]) -> list[str]:
        """Remove environments that are not ``wanted``, held or being made, and what was left behind.

        Returns the names of files and directories.
        """
        async with self._collecting:
            keys = {*wanted(), *self._held, *self._shared.keys()}
            for key in self._sound.keys() - keys:
                del self._sound[key]
            stay = [*self._server, *(wheel.path for wheel in self._wheels.values())]
            removed = await to_its_end(self.disk.collect, keys, stay)
        if removed:
            log.info("environment.collected", removed=removed)
        return removed

    def _resolver(self, distributions: Sequence[str], lock: Lock = Lock()) -> Resolver:
        self.disk.directory.mkdir(parents=True, exist_ok=True)
        uv = Uv(find_uv(), self._settings.build_s)
        here = closure(dict.fromkeys((*distributions, LOOP.name), ""))
        versions = {pin.name: pin.version for pin in here if pin.name not in distributions}
        return Resolver(uv, versions | dict(lock.liked), lock.held, self._settings.allow_builds)


def _own_environment(
    distributions: Sequence[str], requirements: Collection[Requirement], wheels: Iterable[Wheel]
) -> Environment:
    roots = dict.fromkeys(distributions, OF_PRISM) | {LOOP.name: LOOP.reason}
    roots |= {one.pep508.removesuffix(one.specifier): one.reason for one in requirements}
    pins = closure(roots, {wheel.name: str(wheel.path) for wheel in wheels})
    python = own()
    return Environment(SERVER, python.path, python.version, pins, tuple(requirements))


def _installed(names: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in names if is_installed(name)}


def _left_out(environment: Environment) -> Iterable[str]:
    """Yield what was wished for and could not be had together with the rest."""
    needs = Needs(tuple(attrs.evolve(one, strict=True) for one in environment.requirements))
    there = {pin.name: pin.version for pin in environment.pins}
    yield from (f"In the model's environment, {reason}." for reason in satisfied(needs, there, ""))


def _minor(python_version: str) -> str:
    return ".".join(python_version.split(".")[:2])
