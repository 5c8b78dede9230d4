"""What a leading gateway opens to learn from feedback: the journal, who judges, and the bandits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs

from prism_core.gateway.events import Events
from prism_core.gateway.followers import Followers
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.bandits import Bandits, open_bandits
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.judging import Judging, open_judging
from prism_core.gateway.traffic.kinds import Remembered, Unremembered
from prism_core.gateway.traffic.remembering import Remembering
from prism_core.gateway.traffic.states import States
from prism_core.settings import FeedbackSettings


@attrs.frozen
class Learning:
    """Open feedback: who judges answers, and what is learned of that."""

    judging: Judging
    bandits: Bandits


@asynccontextmanager
async def open_learning(
    data: Path,
    settings: FeedbackSettings,
    desk: Desk,
    registry: Registry,
    followers: Followers,
    states: States,
    events: Events,
) -> AsyncIterator[Learning]:
    """Learn from feedback until the end; to be opened before routes are followed."""

    def tolerance(model: str) -> float:
        found = registry.models.get(model)
        wanted = found.route.remembers if found is not None and found.route is not None else None
        return wanted.tolerance if wanted is not None else 0.0

    async def all_told() -> None:
        if followers.members:
            await followers.in_flight()  # it comes behind what they have answered before

    async with AsyncExitStack() as stack:
        bandits = await stack.enter_async_context(open_bandits(desk, registry, followers, states))
        judging = await stack.enter_async_context(open_judging(data, settings, desk.hear, tolerance))
        judging.all_told = all_told

        def remember(answer: Remembered) -> None:
            if answer.model in registry.models:  # a follower may tell of one that was removed meanwhile
                judging.remember(answer)

        desk.want(Remembered, remember)
        desk.want(Unremembered, judging.miss)
        desk.routing.taps.append(Remembering(desk.hear).tap)
        forgetting = asyncio.create_task(_forget_removed(judging, registry, events))
        stack.callback(forgetting.cancel)
        yield Learning(judging, bandits)


async def _forget_removed(judging: Judging, registry: Registry, events: Events) -> None:
    """Forget the answers of models that are removed, until cancelled."""
    async for event in events.subscribe():
        if event.name == "model.removed" and event.model not in registry.models:
            await judging.forget(event.model)
