"""The routes of the settings: followed where they are new, and otherwise left to whoever changes them live.

What was last taken of the file is kept, so that a route that somebody has set since survives a restart with
the same file. A route of a model that is not there yet, or that leads to what is not there yet, waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import msgspec
import structlog

from prism_core.audit import Actor
from prism_core.errors import PrismError
from prism_core.gateway.auditing import act_as
from prism_core.gateway.events import Events
from prism_core.gateway.traffic.leads import sound
from prism_core.gateway.traffic.routes import Routes
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.route import Route

KIND = "settings"
# After these what a route waits for may be there.
WAITED_FOR = ("model.ready", "alias.moved")

log = structlog.get_logger("prism.routes")


@attrs.frozen(eq=False)
class Stated:
    """The routes that the settings state.

    Attributes
    ----------
    waiting
        Why a route is not followed yet, by model.
    """

    stated: Mapping[str, Route]
    routes: Routes
    states: States
    waiting: dict[str, str] = attrs.field(factory=dict)

    async def begin(self) -> None:
        """Follow what is new in the settings, and no more what is no longer in them."""
        act_as(Actor("settings"))
        for state in await self.states.load(KIND):
            if state.model not in self.stated:
                await self._drop(state)
        for name in self.stated:
            await self._follow(name)

    async def go_on(self, events: Events) -> None:
        """Follow what waits when it can be, until cancelled."""
        act_as(Actor("settings"))
        async for event in events.subscribe():
            if event.name in WAITED_FOR and (self.waiting or event.model in self.stated):
                for name in {event.model, *self.waiting} & self.stated.keys():
                    await self._follow(name)

    async def _follow(self, name: str) -> None:
        if name not in self.routes.registry.models:
            self.waiting[name] = f"There is no model {name!r} yet."
            return
        try:
            text = _text(sound(self.stated[name]))
            if text not in [state.text for state in await self.states.load(KIND, name)]:
                route = self.routes.check(name, self.stated[name])
                await self.routes.set(name, route, why="as prism.yaml says")
                await self.states.save(State(name, KIND, "route", 0, text), durable=True)
            self.waiting.pop(name, None)
        except PrismError as error:
            if self.waiting.get(name) != error.message:
                log.warning("route.waits", model=name, reason=error.message)
            self.waiting[name] = error.message

    async def _drop(self, state: State) -> None:
        model = self.routes.registry.models.get(state.model)
        if model and model.route and _text(model.route) == state.text:
            await self.routes.set(state.model, None, why="no longer in prism.yaml")
        await self.states.forget(KIND, state.model)


def _text(route: Route) -> str:
    return msgspec.json.encode(route).decode()


@asynccontextmanager
async def following(stated: Stated, events: Events) -> AsyncIterator[None]:
    """Follow the routes of the settings as long as this is open."""
    # Tasks of their own: who acts is theirs alone. The first one listens before the second one looks.
    task = asyncio.create_task(stated.go_on(events))
    try:
        await asyncio.create_task(stated.begin())
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
