"""Open the other faces of the server: what plugins offer as `prism_core.serving.Frontend`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import structlog

from prism_core.gateway.extensions import config_of
from prism_core.gateway.gateway import Gateway
from prism_core.serving import Frontend

log = structlog.get_logger("prism.gateway")


async def open_frontends(gateway: Gateway, stack: AsyncExitStack, *listeners: str) -> None:
    """Open those that are for some listeners into ``gateway.frontends``; a failing one is reported."""
    for name, frontend in gateway.plugins.frontends.items():
        if frontend.listener not in listeners:
            continue
        reason = frontend.available()
        if reason:
            log.info("extension.unavailable", kind="frontend", name=name, reason=reason)
            continue
        try:
            gateway.frontends.append((frontend, await _open(gateway, frontend, stack)))
        except Exception:
            log.exception("extension.failed", kind="frontend", name=name)


async def _open(gateway: Gateway, frontend: Frontend, stack: AsyncExitStack) -> Any:
    config = config_of(frontend, gateway.settings.plugins)
    opened: Callable[..., Any] = frontend.open
    return await stack.enter_async_context(opened(config, gateway.host))
