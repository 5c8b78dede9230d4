"""Open the doors of a gateway process as the settings want them, in a leader and in its followers."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import attrs

from prism_core.converters import named
from prism_core.errors import ConfigError
from prism_core.gateway.callers.addresses import Proxies
from prism_core.gateway.callers.door import Door, Identity
from prism_core.gateway.callers.keys import KeyTable
from prism_core.gateway.callers.limiter import KINDS, Limiter, Uses
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.sharing import sharing
from prism_core.gateway.callers.tokens import open_tokens
from prism_core.gateway.directory import server_id
from prism_core.gateway.extensions import check_available, config_of, open_all
from prism_core.gateway.follower import Follower
from prism_core.gateway.followers import Followers
from prism_core.gateway.observe import Metrics
from prism_core.gateway.registry import Registry
from prism_core.plugins import PluginSet, find
from prism_core.protocols import RateStore
from prism_core.settings import RateSettings, Settings


@attrs.frozen
class Known:
    """Who knows callers here: by keys, by links; and what they have used."""

    keys: KeyTable
    links: LinkTable
    uses: Uses


@asynccontextmanager
async def open_leading_doors(
    settings: Settings,
    plugins: PluginSet,
    registry: Registry,
    known: Known,
    metrics: Metrics,
    followers: Followers,
) -> AsyncIterator[tuple[Door, LinkDoor]]:
    """Open the doors of a leader. Its buckets are its followers' too; a plugin's store may be behind them.

    Raises
    ------
    ConfigError
        If a part of it cannot work here. A door without it would let everybody in.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_rate_store(settings, plugins))
        limiter = limiter_of(settings, registry, known.uses)
        if store:
            shared = sharing(limiter, store, strict=settings.rates.strict)
            metrics.registry.register(await stack.enter_async_context(shared))
        followers.rates, followers.refused = limiter, metrics.refused.counts
        yield await _open_doors(settings, plugins, known, limiter, metrics.refused.counts, stack)


@asynccontextmanager
async def open_following_doors(
    settings: Settings, plugins: PluginSet, follower: Follower
) -> AsyncIterator[tuple[Door, LinkDoor]]:
    """Open the doors of a follower; its buckets are its leader's."""
    async with AsyncExitStack() as stack:
        callers = follower.callers
        limiter = limiter_of(settings, follower.mirror.registry, callers.tally)
        await stack.enter_async_context(sharing(limiter, follower.rates, strict=settings.rates.strict))
        known = Known(callers.table, callers.links, callers.tally)
        yield await _open_doors(settings, plugins, known, limiter, callers.refused, stack)


async def _open_doors(
    settings: Settings,
    plugins: PluginSet,
    known: Known,
    limiter: Limiter,
    refused: Counter[str],
    stack: AsyncExitStack,
) -> tuple[Door, LinkDoor]:
    """Open the door of models and that of links, with the guards of plugins; ``refused`` counts refusals."""
    guards = await open_all(plugins.guards, "guard", settings.plugins, stack, required=True)
    known.links.limit(settings.rates.link)
    door = Door(
        addresses=addresses_of(settings),
        identity=await open_identity(settings, known.keys, stack),
        limiter=limiter if limits(settings) else None,
        guards=guards.values(),
        refused=refused,
    )
    return door, LinkDoor(known.links, limiter, addresses=door.addresses, guards=door.guards, refused=refused)


@asynccontextmanager
async def open_rate_store(settings: Settings, plugins: PluginSet) -> AsyncIterator[RateStore | None]:
    """Open the store that ``rates.store`` names; None where there is no name.

    Raises
    ------
    UnknownPlugin, ConfigError
        If no plugin offers it, or it cannot work here.
    """
    name = settings.rates.store
    if not name:
        yield None
        return
    record = find(plugins.rate_stores, name, "rate store")
    check_available(record)
    data = settings.data_dir.expanduser().resolve()
    config = named(config_of(record, settings.plugins), server_id(data))
    async with record.open(config) as store:
        yield store


def asks(settings: Settings) -> bool:
    """Return whether callers are asked who they are."""
    return settings.auth != "none"


async def open_identity(settings: Settings, table: KeyTable, stack: AsyncExitStack) -> Identity | None:
    """Return who knows the callers; None where nobody is asked who they are."""
    if settings.auth == "oidc":
        return await stack.enter_async_context(open_tokens(settings.oidc))
    return table if settings.auth == "keys" else None


def addresses_of(settings: Settings) -> Proxies | None:
    """Return who tells callers' addresses; None where no proxy is trusted.

    Raises
    ------
    ConfigError
        If one of the trusted proxies is neither an address nor a network.
    """
    if not settings.trusted_proxies:
        return None
    try:
        return Proxies(settings.trusted_proxies, settings.proxy_header)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}") from None


def limits(settings: Settings) -> bool:
    """Return whether anybody but the holders of links is limited, or has a use that is kept."""
    models = any(model.rate is not None for model in settings.models.values())
    return settings.rates != RateSettings() or models or asks(settings)


def limiter_of(settings: Settings, registry: Registry, uses: Uses | None = None) -> Limiter:
    """Return the limiter: of links always, of others where the settings limit them."""
    models = {name: model.rate for name, model in settings.models.items() if model.rate is not None}
    rates = {kind: getattr(settings.rates, kind) for kind in KINDS}
    return Limiter(
        {kind: rate for kind, rate in rates.items() if rate is not None},
        models=models,
        serves=lambda reference: reference in registry.lanes,
        link=settings.link,
        quota=settings.rates.quota,
        uses=uses,
    )
