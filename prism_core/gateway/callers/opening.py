"""Open the door of a gateway process as the settings want it: the same in a leader and in its followers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prism_core.gateway.callers.door import Door, Identity
from prism_core.gateway.callers.keys import KeyTable
from prism_core.gateway.callers.limits import addresses_of, limiter_of
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.extensions import open_all
from prism_core.plugins import PluginSet
from prism_core.settings import Settings


@asynccontextmanager
async def open_door(
    settings: Settings, plugins: PluginSet, table: KeyTable, tally: Tally
) -> AsyncIterator[Door]:
    """Open the door.

    Parameters
    ----------
    table, tally
        The keys, and what callers have used of their quotas: the leader's own, or a mirror.

    Raises
    ------
    ConfigError
        If a part of it cannot work here. A door without it would let everybody in.
    """
    async with AsyncExitStack() as stack:
        guards = await open_all(plugins.guards, "guard", settings.plugins, stack, required=True)
        identity = identity_of(settings, table)
        limiter = limiter_of(settings, tally if identity else None)
        yield Door(
            addresses=addresses_of(settings), identity=identity, limiter=limiter, guards=guards.values()
        )


def identity_of(settings: Settings, table: KeyTable) -> Identity | None:
    """Return who knows the callers; None where nobody is asked who they are."""
    return table if settings.auth == "keys" else None
