"""What the settings say about a model's answers, and what the metrics show."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager

import attrs
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from prism_core.errors import UnknownPlugin
from prism_core.gateway.cache import Kept
from prism_core.gateway.caching import open_caching
from prism_core.manifest import Manifest
from prism_core.plugins import load_plugins
from prism_core.settings import CacheSettings, ModelCacheSettings, ModelSettings, Settings
from prism_core.testing import Clock

CHURN = Manifest("churn", 1, "toy", "toy", "churn.toy", "sha256:1", size_bytes=10, created=1.0)
OTHER = attrs.evolve(CHURN, model="other")
PLUGINS = load_plugins(())


@asynccontextmanager
async def caching_of(tmp_path, metrics=None, plugins=PLUGINS, churn=None, **cache):
    models = {"churn": ModelSettings("churn.toy", cache=ModelCacheSettings(**churn))} if churn else {}
    settings = Settings(cache=CacheSettings(**cache), models=models)
    async with open_caching(settings, plugins, tmp_path, metrics or CollectorRegistry()) as caching:
        yield caching


def answered(answers, body=b"1", answer=b"x" * 100):
    key = answers.key(b"head", body)
    answers.join(key, object())
    answers.land(key, Kept("application/json", 1, answer))
    return key


@pytest.mark.parametrize(
    ("server", "model", "expected"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
async def test_a_model_may_differ_from_the_server(tmp_path, server, model, expected):
    async with caching_of(tmp_path, enabled=server, churn={"enabled": model}) as caching:
        assert (caching.of(CHURN) is not None) is expected
        assert (caching.of(OTHER) is not None) is server


async def test_what_is_not_deterministic_is_not_kept(tmp_path):
    async with caching_of(tmp_path) as caching:
        assert caching.of(attrs.evolve(CHURN, deterministic=False)) is None


async def test_without_the_memory_plugin_nothing_is_kept(tmp_path):
    async with caching_of(tmp_path, plugins=load_plugins((), blocked=["memory"])) as caching:
        assert caching.of(CHURN) is None


async def test_a_model_has_its_own_time_to_live(tmp_path):
    async with caching_of(tmp_path, ttl_s=60.0, churn={"ttl_s": 5.0}) as caching:
        clock = caching._store._clock = Clock()
        churn, other = caching.of(CHURN), caching.of(OTHER)
        keys = answered(churn), answered(other)
        clock.advance(6)

        assert churn.lookup(keys[0]) is None
        assert other.lookup(keys[1]) is not None


async def test_the_versions_of_a_model_share_its_bound(tmp_path):
    async with caching_of(tmp_path, churn={"max_memory": 2000}) as caching:
        first, second, other = (
            caching.of(manifest) for manifest in (CHURN, attrs.evolve(CHURN, version=2), OTHER)
        )
        for number in range(10):
            for answers in (first, second, other):
                answered(answers, b"%d" % number)

        assert 1000 < first.kept.bytes + second.kept.bytes <= 2000
        assert len(other.kept) == 10


async def test_all_models_share_the_server_s_bound(tmp_path):
    async with caching_of(tmp_path, max_memory=4000) as caching:
        churn, other = caching.of(CHURN), caching.of(OTHER)
        for number in range(10):
            answered(churn, b"%d" % number)
            answered(other, b"%d" % number)

        assert 3000 < churn.kept.bytes + other.kept.bytes <= 4000


async def test_metrics_show_what_each_version_takes(tmp_path):
    metrics = CollectorRegistry()
    async with caching_of(tmp_path, metrics) as caching:
        churn = caching.of(CHURN)
        answered(churn)
        shown = generate_latest(metrics).decode()
        assert f'prism_cache_bytes{{model="churn",version="1"}} {float(churn.kept.bytes)}' in shown

        del churn
        gc.collect()
        assert "churn" not in generate_latest(metrics).decode()


async def test_a_second_level_that_nobody_offers_stops_the_start(tmp_path):
    with pytest.raises(UnknownPlugin, match="redsi"):
        async with caching_of(tmp_path, second_level="redsi"):
            pass
