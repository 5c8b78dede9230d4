"""Versions that an alias has left and that stay loaded for a while, so that the way back takes no time."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import msgspec

from prism_core.gateway.registry import Registry, Version
from prism_core.gateway.traffic.leads import leads
from prism_core.gateway.traffic.states import State, States

KIND = "keep-warm"


@attrs.frozen(eq=False)
class Warmth:
    """Which versions are kept loaded, and until when: `prism_core.gateway.use.Use.warm_until` of each.

    The housekeeper leaves them alone so long, and unloads those whose time is over, unless something leads to
    them.
    """

    registry: Registry
    states: States
    clock: Callable[[], float] = time.time

    async def restore(self) -> None:
        """Remember what was to be kept loaded, after a restart."""
        for state in await self.states.load(KIND):
            until, version = _until(state), self._version(state)
            if version and until > self.clock():
                version.use.warm_until = until
            else:
                await self.states.forget(KIND, state.model, state.name)

    async def keep(self, version: Version, for_s: float) -> None:
        """Keep a version loaded for ``for_s`` seconds from now."""
        manifest, until = version.manifest, self.clock() + for_s
        text = msgspec.json.encode(until).decode()
        await self.states.save(State(manifest.model, KIND, str(manifest.version), 0, text), durable=True)
        version.use.warm_until = until

    async def end(self, model: str, version: int) -> None:
        """Keep a version loaded no longer than any other."""
        await self.states.forget(KIND, model, str(version))
        if found := self._find(model, version):
            found.use.warm_until = 0.0

    def is_led_to(self, model: str, version: int) -> bool:
        """Tell whether an alias means a version, or a route leads to it."""
        found = self._find(model, version)
        if found is None:
            return False
        if version in self.registry.models[model].aliases.values():
            return True
        models = self.registry.models.values()
        return any(led is found for one in models for _, _, led in leads(self.registry, one))

    def _version(self, state: State) -> Version | None:
        return self._find(state.model, int(state.name)) if state.name.isdecimal() else None

    def _find(self, model: str, version: int) -> Version | None:
        found = self.registry.models.get(model)
        return found.versions.get(version) if found else None


def _until(state: State) -> float:
    """Return until when; 0 where a damaged row does not say that: a server starts all the same."""
    try:
        return msgspec.json.decode(state.text, type=float)
    except msgspec.MsgspecError:
        return 0.0
