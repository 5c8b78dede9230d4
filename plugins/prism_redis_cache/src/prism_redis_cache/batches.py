"""Commands to Redis, batched while busy: what comes during a round trip goes together in the next.

A command costs redis-py far more time than it costs Redis, and most of that is per round trip,
not per command. So each connection of the pool sends what waits as one pipeline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from redis.asyncio import Redis

# Commands in one pipeline: enough to share its cost, and no long wait for the first of them.
TOGETHER = 64
# Commands that may wait. Whoever asks gives up after a few milliseconds; this is for the case
# that very many do.
WAITING = 4096

Command = tuple[bytes | str | int, ...]


@attrs.define(eq=False)
class Batches:
    """Sends commands; see `open_batches`."""

    _client: Redis
    _waiting: deque[tuple[Command, asyncio.Future[Any]]] = attrs.field(factory=deque)
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def ask(self, *command: bytes | str | int) -> Any:
        """Return Redis's answer to a command.

        Raises
        ------
        RedisError, OSError
            What Redis, or the connection, had against it.
        """
        if len(self._waiting) >= WAITING:
            raise ConnectionError(f"{WAITING} commands wait for Redis already")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._arrived.set()
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def work(self) -> None:
        """Serve one connection until cancelled."""
        while True:
            await self._arrived.wait()
            batch = self._take()
            if batch:
                await self._exchange(batch)

    def _take(self) -> list[tuple[Command, asyncio.Future[Any]]]:
        """Return what waits and is still wanted; whoever gave up has cancelled its future."""
        batch: list[tuple[Command, asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < TOGETHER:
            command, future = self._waiting.popleft()
            if not future.done():
                batch.append((command, future))
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _exchange(self, batch: list[tuple[Command, asyncio.Future[Any]]]) -> None:
        answers: list[Any]
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for command, _ in batch:
                    pipeline.execute_command(*command)
                answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            answers = [error] * len(batch)
        except asyncio.CancelledError:
            _answer(batch, [ConnectionError("the cache is closed")] * len(batch))
            raise
        _answer(batch, answers)

    def close(self) -> None:
        """Answer whoever still waits."""
        batch = list(self._waiting)
        self._waiting.clear()
        _answer(batch, [ConnectionError("the cache is closed")] * len(batch))


def _answer(batch: list[tuple[Command, asyncio.Future[Any]]], answers: list[Any]) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if not future.done():
            future.set_result(answer)


@asynccontextmanager
async def open_batches(client: Redis, connections: int) -> AsyncIterator[Batches]:
    """Run a `Batches` over as many connections."""
    batches = Batches(client)
    tasks = [asyncio.create_task(batches.work()) for _ in range(connections)]
    try:
        yield batches
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        batches.close()
