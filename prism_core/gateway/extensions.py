"""Open what plugins offer, each with its own configuration, each in a task of its own.

A task of its own, because an extension may be opened when it is first needed, and an
async context manager is to be left by the task that entered it.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar

import structlog

from prism_core.converters import named, structure_extension_config
from prism_core.errors import ConfigError, PrismError
from prism_core.plugins import find
from prism_core.specs import Extension

Opened = TypeVar("Opened")

log = structlog.get_logger("prism.gateway")

Configs = Mapping[str, Mapping[str, Any]]


def config_of(extension: Extension[Any], configs: Configs) -> Any:
    """Return the extension's configuration from ``plugins.<name>``; `ConfigError` with the key's path."""
    return structure_extension_config(extension.config, dict(configs.get(extension.name, {})), extension.name)


def warn_of_unused(configs: Configs, offered: Mapping[str, Mapping[str, Any]]) -> None:
    """Log each configuration that nothing will read: a slip, or a plugin that is not installed."""
    kinds = [records.values() for records in offered.values()]
    known = {one.name for records in kinds for one in records if isinstance(one, Extension)}
    for name in configs:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "Is its plugin installed?"
            log.warning("settings.unused", key=f"plugins.{name}", hint=hint)


def check_available(extension: Extension[Any]) -> None:
    """Raise `ConfigError` if the extension cannot work on this machine."""
    reason = extension.available()
    if reason:
        raise ConfigError(
            f"{extension.name!r} cannot work on this machine: {reason}",
            hint="`prism doctor` says what is missing.",
        )


@asynccontextmanager
async def in_own_task(context: Any) -> AsyncIterator[Any]:
    """Enter and leave an async context manager in one task, whoever asks for it."""
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def live() -> None:
        try:
            async with context as value:
                opened.set_result(value)
                await leave.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    task = asyncio.create_task(live())
    try:
        yield await opened
    finally:
        leave.set()
        await task


class Openings(Generic[Opened]):
    """Extensions of one kind, opened when they are first asked for, closed with the gateway.

    Parameters
    ----------
    records
        What plugins offer, by name.
    kind
        What messages call them, for instance ``isolation backend``.
    configs
        Each extension's configuration by its name.
    stack
        What they are closed with.
    server_id
        What sets this server's things apart from those of others; see `named`.
    """

    def __init__(
        self,
        records: Mapping[str, Extension[Opened]],
        kind: str,
        configs: Configs,
        stack: AsyncExitStack,
        server_id: str = "",
    ) -> None:
        self.records = records
        self._kind = kind
        self._configs = configs
        self._stack = stack
        self._server_id = server_id
        self._opened: dict[str, Opened] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str) -> Opened:
        """Return the open extension.

        Raises
        ------
        UnknownPlugin, ConfigError
            If there is none, or it cannot work here.
        """
        async with self._lock:
            if name not in self._opened:
                record = find(self.records, name, self._kind)
                check_available(record)
                context = record.open(named(config_of(record, self._configs), self._server_id))
                self._opened[name] = await self._stack.enter_async_context(in_own_task(context))
                log.info("extension.opened", kind=self._kind, name=name)
            return self._opened[name]


async def open_all(
    records: Mapping[str, Extension[Any]],
    kind: str,
    configs: Configs,
    stack: AsyncExitStack,
    *,
    required: bool = False,
) -> dict[str, Any]:
    """Open every extension that is available here; one that fails is reported and left out.

    ``required``: one that fails stops the start instead. A guard that is left out guards nothing.
    """
    openings: Openings[Any] = Openings(records, kind, configs, stack)
    opened = {}
    for name, record in records.items():
        reason = record.available()
        if reason:
            log.info("extension.unavailable", kind=kind, name=name, reason=reason)
            continue
        try:
            opened[name] = await openings.get(name)
        except ConfigError:
            raise
        except Exception as error:
            if required:
                raise
            log.error("extension.failed", kind=kind, name=name, error=_reason(error))
    return opened


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PrismError) else f"{type(error).__name__}: {error}"
