"""The parts of the door that the settings ask for: who is behind a proxy, and how often anybody may come."""

from __future__ import annotations

from prism_core.errors import ConfigError
from prism_core.gateway.callers.addresses import Proxies
from prism_core.gateway.callers.limiter import KINDS, Limiter, Uses
from prism_core.gateway.registry import Registry
from prism_core.settings import RateSettings, Settings


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


def limiter_of(settings: Settings, registry: Registry, uses: Uses | None = None) -> Limiter | None:
    """Return the limiter; None where nothing is limited and nobody's use is kept."""
    models = {name: model.rate for name, model in settings.models.items() if model.rate is not None}
    if settings.rates == RateSettings() and not models and uses is None:
        return None
    rates = {kind: getattr(settings.rates, kind) for kind in KINDS}
    return Limiter(
        {kind: rate for kind, rate in rates.items() if rate is not None},
        models=models,
        serves=lambda reference: reference in registry.lanes,
        link=settings.link,
        quota=settings.rates.quota,
        uses=uses,
    )
