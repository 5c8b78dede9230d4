"""The second level of the cache: some plugin's `Cache`, kept from ever harming a request.

Whatever it does - hang, fail, fill up, answer nonsense - a look-up costs a few milliseconds at
most, and a write costs the request nothing: writes wait in a bounded queue. A breaker each for
reading and writing stops asking what does not work. All of it is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.converters import named
from prism_core.errors import ConfigError
from prism_core.gateway.breaker import Breaker, Circuit
from prism_core.gateway.extensions import Configs, check_available, config_of
from prism_core.plugins import find
from prism_core.protocols import Cache
from prism_core.specs import CacheBackend

# What may wait to be written: beyond either, what comes is dropped and counted.
WAITING = 1024
WAITING_BYTES = 16 * 1024 * 1024
# Writes under way together: a backend may send them as one.
ABREAST = 32
# Nobody waits for a write, so it may take longer than a look-up.
WRITE_S = 0.25
# A timer that is so late says that this process had no processor, not that the cache is slow.
STALLED_S = 0.001
# What the first look-up may take, with which a backend connects before the first request.
FIRST_S = 1.0

log = structlog.get_logger("prism.cache")

Value = TypeVar("Value")


class SecondLevel(Collector):
    """A `Cache` of a plugin, made harmless: it never raises, and never takes long.

    Parameters
    ----------
    name
        What metrics and log lines call it.
    cache
        The plugin's.
    timeout_s
        What a look-up may cost a request.
    clock
        Monotonic seconds.

    Attributes
    ----------
    counts
        How often an operation, "get" or "put", had a result.
    """

    def __init__(
        self, name: str, cache: Cache, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.counts: Counter[tuple[str, str]] = Counter()
        self.breakers = {"get": Breaker(), "put": Breaker()}
        self._cache = cache
        self._timeout_s = timeout_s
        self._clock = clock
        self._waiting: deque[tuple[bytes, bytes, float | None]] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._why = ""

    async def get(self, key: bytes) -> bytes | None:
        """Return the value; None where there is none, or it cannot be had in time."""
        if not self._allows("get"):
            return None
        worked, value = await self._try("get", self._cache.get(key), self._timeout_s)
        if worked:
            self.counts["get", "miss" if value is None else "hit"] += 1
        return value

    def keep(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Have the value written in the background, or drop it."""
        if not self._allows("put"):
            return
        if len(self._waiting) >= WAITING or self._waiting_bytes + len(value) > WAITING_BYTES:
            self.counts["put", "dropped"] += 1
            return
        self._waiting.append((key, value, ttl_s))
        self._waiting_bytes += len(value)
        self._arrived.set()

    async def look(self) -> None:
        """Look something up, so that the backend connects; tell whether it works."""
        worked, _ = await self._try("get", self._cache.get(bytes(16)), FIRST_S)
        if worked:
            log.info("cache.second_level", cache=self.name)
        else:
            log.warning("cache.second_level_down", cache=self.name, operation="get", error=self._why)

    async def write(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await asyncio.gather(*(self._write(*entry) for entry in self._take()))

    def _take(self) -> list[tuple[bytes, bytes, float | None]]:
        if self.breakers["put"].state is Circuit.OPEN:  # what waits for something that is down is old then
            self.counts["put", "dropped"] += len(self._waiting)
            self._waiting.clear()
        taken = [self._waiting.popleft() for _ in range(min(ABREAST, len(self._waiting)))]
        self._waiting_bytes = self._waiting_bytes - sum(len(v) for _, v, _ in taken) if self._waiting else 0
        return taken

    async def _write(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        worked, _ = await self._try("put", self._cache.put(key, value, ttl_s), WRITE_S)
        if worked:
            self.counts["put", "kept"] += 1

    def _allows(self, operation: str) -> bool:
        allowed = self.breakers[operation].allows(self._clock())
        if not allowed:
            self.counts[operation, "refused"] += 1
        return allowed

    async def _try(self, operation: str, work: Awaitable[Value], limit_s: float) -> tuple[bool, Value | None]:
        loop = asyncio.get_running_loop()
        due = loop.time() + limit_s
        try:
            async with asyncio.timeout(None) as limit:
                timer = loop.call_at(due, _too_late, loop, limit, due)
                try:
                    value = await work
                finally:
                    timer.cancel()
        except TimeoutError:
            self._failed(operation, "timeout", f"no answer in {limit_s * 1000:g} ms")
        except Exception as error:
            self._failed(operation, "error", f"{type(error).__name__}: {error}")
        else:
            self._worked(operation)
            return True, value
        return False, None

    def _failed(self, operation: str, result: str, error: str) -> None:
        self.counts[operation, result] += 1
        self._why = error
        breaker = self.breakers[operation]
        was = breaker.state
        breaker.failed(self._clock())
        if was is Circuit.CLOSED and breaker.failures >= breaker.patience:  # once, not with every trial
            log.warning("cache.second_level_down", cache=self.name, operation=operation, error=error)

    def _worked(self, operation: str) -> None:
        breaker = self.breakers[operation]
        was = breaker.state
        breaker.succeeded()
        if was is Circuit.HALF_OPEN:
            log.info("cache.second_level_back", cache=self.name, operation=operation)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        calls = CounterMetricFamily(
            "prism_second_level", "Calls of the second cache.", labels=("cache", "operation", "result")
        )
        for (operation, result), count in self.counts.items():
            calls.add_metric((self.name, operation, result), count)
        yield calls
        states = GaugeMetricFamily(
            "prism_second_level_breaker", "1 for the state it is in.", labels=("cache", "operation", "state")
        )
        for operation, breaker in self.breakers.items():
            for state in Circuit:
                states.add_metric((self.name, operation, str(state)), float(breaker.state is state))
        yield states
        waiting = GaugeMetricFamily("prism_second_level_waiting", "Writes that wait.", labels=("cache",))
        waiting.add_metric((self.name,), len(self._waiting))
        yield waiting
        own = CounterMetricFamily(
            "prism_second_level_own", "What the cache itself counts.", labels=("cache", "what")
        )
        counts: Mapping[str, int] = getattr(self._cache, "counts", {})
        for what, count in counts.items():
            own.add_metric((self.name, what), count)
        yield own


def _too_late(loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout, due: float) -> None:
    """Let the time run out; but where this process itself was held up, first read what has come meanwhile."""
    now = loop.time()
    limit.reschedule(now + STALLED_S if now - due > STALLED_S else now)


@asynccontextmanager
async def open_second_level(
    name: str, caches: Mapping[str, CacheBackend], configs: Configs, server_id: str, timeout_s: float
) -> AsyncIterator[SecondLevel | None]:
    """Open the cache called ``name``; None where there is no name, or where opening it fails.

    Raises
    ------
    UnknownPlugin, ConfigError
        If no plugin offers it, it cannot work here, or its settings are wrong.
    """
    async with AsyncExitStack() as stack:
        cache = await _open(find(caches, name, "cache"), configs, server_id, stack) if name else None
        if cache is None:
            yield None
            return
        second = SecondLevel(name, cache, timeout_s)
        writer = asyncio.create_task(second.write())
        stack.push_async_callback(_end, writer)
        await second.look()
        yield second


async def _open(
    record: CacheBackend, configs: Configs, server_id: str, stack: AsyncExitStack
) -> Cache | None:
    check_available(record)
    config = named(config_of(record, configs), server_id)
    try:
        return await stack.enter_async_context(record.open(config))
    except ConfigError:
        raise
    except Exception:
        log.exception("extension.failed", kind="cache", name=record.name)
        return None


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
