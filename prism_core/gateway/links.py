"""The URL under which the public listener is reached: the chosen link provider, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from prism_core.errors import PrismError
from prism_core.gateway.extensions import Openings
from prism_core.plugins import PluginSet
from prism_core.protocols import Linker, PublicListener
from prism_core.settings import Settings

log = structlog.get_logger("prism.links")


@asynccontextmanager
async def open_linker(settings: Settings, plugins: PluginSet) -> AsyncIterator[Linker]:
    """Open the link provider that the settings name; what it publishes is withdrawn at the end.

    Raises
    ------
    UnknownPlugin, ConfigError
        If there is none of that name, or it cannot work here.
    """
    async with AsyncExitStack() as stack:
        openings: Openings[Linker] = Openings(
            *(plugins.link_providers, "link provider", settings.plugins, stack),
            data_dir=str(settings.data_dir.expanduser().resolve()),
        )
        linker = await openings.get(settings.link)
        yield linker
        try:
            await linker.withdraw()
        except Exception:  # a tunnel that cannot be withdrawn must not keep the server from stopping
            log.exception("link.withdraw_failed")


async def publish(linker: Linker, listener: PublicListener) -> str:
    """Return the base URL that ``linker`` gives, or the listener's own address where it fails."""
    try:
        url = await linker.publish(listener)
    except Exception as error:
        reason = error.message if isinstance(error, PrismError) else repr(error)
        url = listener.url()
        log.error("link.failed", error=reason, url=url)
    else:
        log.info("link.published", url=url)
    return url.rstrip("/")
