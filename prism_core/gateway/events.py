"""Changes of state, told to whoever listens, after they have been stored.

One task stores and delivers in order; while nothing happens it sleeps. A listener that
does not keep up loses its oldest events and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from prism_core.specs import ModelEvent

# What somebody has to look at.
LEVELS = {
    "circuit.opened": logging.WARNING,
    "guard.acted": logging.WARNING,
    "replica.left_out": logging.WARNING,
    "link.down": logging.WARNING,
    "link.failed": logging.ERROR,
    "link.moved": logging.WARNING,
}
# What a slow listener may be behind.
HELD_EVENTS = 1000

log = structlog.get_logger("prism.events")

Store = Callable[[ModelEvent], Awaitable[None]]
Hear = Callable[[ModelEvent], object]


class Events:
    """The fan-out. Made by `open_events`."""

    def __init__(self, store: Store, hear: Hear) -> None:
        self._store = store
        self._hear = hear
        self._queue: asyncio.Queue[ModelEvent] = asyncio.Queue()
        self._listeners: set[asyncio.Queue[ModelEvent]] = set()

    def emit(self, event: ModelEvent) -> None:
        """Store and deliver an event, later and in order."""
        self._queue.put_nowait(event)

    async def subscribe(self) -> AsyncIterator[ModelEvent]:
        """Yield every event from now on."""
        listener: asyncio.Queue[ModelEvent] = asyncio.Queue(HELD_EVENTS)
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.get()
        finally:
            self._listeners.discard(listener)

    async def settle(self) -> None:
        """Return when everything that was emitted has been delivered."""
        await self._queue.join()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._deliver(event)
            finally:
                self._queue.task_done()

    async def _deliver(self, event: ModelEvent) -> None:
        model = {"model": event.model, "version": event.version} if event.model else {}
        log.log(level_of(event), event.name, **(dict(event.facts) | model))
        try:
            await self._store(event)
        except Exception:
            log.exception("event.not_stored", name=event.name)
        for listener in tuple(self._listeners):
            if listener.full():
                listener.get_nowait()
            listener.put_nowait(event)
        try:
            self._hear(event)
        except Exception:  # a plugin's fault must not end the delivery
            log.exception("event.hook_failed", name=event.name)


def level_of(event: ModelEvent) -> int:
    """Return how loud an event is in the log. An address that nobody was sent may change."""
    quiet = event.name == "link.moved" and not event.facts["links"]
    return logging.INFO if quiet else LEVELS.get(event.name, logging.INFO)


@asynccontextmanager
async def open_events(store: Store, hear: Hear) -> AsyncIterator[Events]:
    """Run an `Events`; what has been emitted by the end is still delivered.

    Parameters
    ----------
    store
        Called first, with each event.
    hear
        Called last: the plugins' hook.
    """
    events = Events(store, hear)
    task = asyncio.create_task(events.run())
    try:
        yield events
        await events.settle()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
