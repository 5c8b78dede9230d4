"""The caches of a gateway: one store, a second level, and what the settings say for each model.

The settings are this server's and may change from start to start, so they are asked when a
lane is made and are no part of a version's manifest. Each gateway process has a store of its own, in its
share of the memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.directory import server_id
from prism_core.gateway.lru import Group, Store
from prism_core.gateway.salt import code_of, salt_of
from prism_core.gateway.second import SecondLevel, open_second_level
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.settings import ModelCacheSettings, Settings


@attrs.frozen(eq=False)
class Caching(Collector):
    """Makes the `AnswerCache` of each version; see `open_caching`."""

    _settings: Settings
    _plugins: PluginSet
    _store: Store
    _second: SecondLevel | None
    _codes: dict[str, str] = attrs.field(factory=dict)
    _bounds: dict[str, Group] = attrs.field(factory=dict)
    _open: WeakValueDictionary[tuple[str, int], AnswerCache] = attrs.field(factory=WeakValueDictionary)

    def of(self, manifest: Manifest) -> AnswerCache | None:
        """Return the cache of a version, or None where its answers are not to be kept."""
        cached, own = self._settings.cache, self._own(manifest.model)
        enabled = cached.enabled if own.enabled is None else own.enabled
        if not (enabled and manifest.deterministic and "memory" in self._plugins.caches):
            return None
        bound = None
        if own.max_memory is not None:
            bound = self._bounds.setdefault(manifest.model, Group(own.max_memory // self._settings.gateways))
        ttl_s, salt = own.ttl_s or cached.ttl_s, self._salt(manifest)
        answers = AnswerCache(self._store, salt, ttl_s, self._second, bound)
        self._open[manifest.model, manifest.version] = answers
        return answers

    def _own(self, model: str) -> ModelCacheSettings:
        settings = self._settings.models.get(model)
        return settings.cache if settings else ModelCacheSettings()

    def _salt(self, manifest: Manifest) -> bytes:
        loader = manifest.loader
        if loader not in self._codes:  # a few milliseconds, which many models need not pay each
            self._codes[loader] = code_of(self._plugins, loader)
        return salt_of(manifest, self._codes[loader])

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        text, labels = "What kept answers take in memory.", ("model", "version")
        family = GaugeMetricFamily("prism_cache_bytes", text, labels=labels)
        for (model, version), answers in sorted(self._open.items()):
            if answers.kept.bytes:
                family.add_metric((model, str(version)), answers.kept.bytes)
        yield family


@asynccontextmanager
async def open_caching(
    settings: Settings, plugins: PluginSet, data: Path, metrics: CollectorRegistry
) -> AsyncIterator[Caching]:
    """Open the caches, and show them in ``metrics``."""
    opening = open_second_level(
        settings.cache.second_level,
        plugins.caches,
        settings.plugins,
        server_id(data),
        settings.cache.second_level_timeout_ms / 1000,
    )
    async with opening as second:
        caching = Caching(settings, plugins, Store(settings.cache.max_memory // settings.gateways), second)
        for collector in (caching, second):
            if collector is not None:
                metrics.register(collector)
        yield caching
