"""One piece of work for all who wait for it; it ends when nobody does any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs

from prism_core.environments.resolving import Tell

Result = TypeVar("Result")
Work = Callable[[Tell], Coroutine[Any, Any, None]]


@attrs.define(eq=False)
class _Running:
    task: asyncio.Task[None]
    listeners: list[Tell]
    last: Mapping[str, Any]


async def to_its_end(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in a thread and wait for its end, also when cancelled meanwhile: it changes files."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        _ = task.exception()
        raise


class Shared:
    """Work under way, by key."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def keys(self) -> set[str]:
        """Return the keys of what is under way."""
        return set(self._running)

    async def run(self, key: str, work: Work, tell: Tell) -> None:
        """Do ``work``, or wait for that of the same key; every waiter is told its progress."""
        while (running := self._running.get(key)) and running.task.cancelling():
            await asyncio.wait({running.task})  # the last who waited for it has just gone
        running = running or self._begin(key, work)
        running.listeners.append(tell)
        if running.last:
            tell(running.last)
        try:
            await asyncio.shield(running.task)
        finally:
            running.listeners.remove(tell)
            if not running.listeners and not running.task.done():
                running.task.cancel()
                await asyncio.wait({running.task})
                _ = running.task.cancelled() or running.task.exception()

    def _begin(self, key: str, work: Work) -> _Running:
        def tell(facts: Mapping[str, Any]) -> None:
            running.last = facts
            for listener in tuple(running.listeners):
                listener(facts)

        async def do() -> None:
            try:
                await work(tell)
            finally:
                del self._running[key]

        running = self._running[key] = _Running(asyncio.create_task(do()), [], {})
        return running
