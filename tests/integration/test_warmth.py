"""Versions that are kept loaded after an alias has left them. Real sockets, toy replicas."""

from __future__ import annotations

import pytest

from prism_core.gateway.traffic import warmth
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share
from tests.integration.gateway_toys import ToyLauncher, predict, toy_gateway, until, upload


@pytest.fixture
def launcher():
    return ToyLauncher()


@pytest.fixture
async def gateway(tmp_path, launcher):
    """A gateway with two versions of ``m``; ``live`` is the first."""
    async with toy_gateway(tmp_path / "data", launcher) as opened:
        await upload(opened, "1", alias="live")
        await upload(opened, "2")
        yield opened


def loaded(gateway, version, model="m"):
    return gateway.version(model, version).loaded


async def test_what_an_alias_has_left_stays_loaded_whatever_its_idle_time(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "1", alias="live", idle_unload_s=0.05)
        await upload(gateway, "2")
        await gateway.set_alias("m", "live", 2, keep_warm_s=60)
        await predict(gateway, "m/1", 4)  # on a slow machine it was idle before the alias had left it
        starts = launcher.starts.count("m-1-0")
        await upload(gateway, "3", name="idle", idle_unload_s=0.05)
        await until(lambda: not loaded(gateway, 1, "idle"))
        assert loaded(gateway, 1)

        await gateway.set_alias("m", "live", 1)
        assert await predict(gateway, "m@live", 5) == [5]
        assert launcher.starts.count("m-1-0") == starts


async def test_after_its_time_it_is_unloaded_and_its_next_call_loads_it(gateway, launcher):
    await gateway.set_alias("m", "live", 2, keep_warm_s=0.2)
    assert gateway.version("m", 1).warm_until
    await until(lambda: not loaded(gateway, 1))
    await until(lambda: gateway.version("m", 1).warm_until is None)

    assert gateway.version("m", 1).state == "READY"
    assert await predict(gateway, "m/1", 5) == [5]
    assert loaded(gateway, 2)


async def test_the_same_for_latest_and_a_rollback(gateway):
    await gateway.rollback("m", keep_warm_s=0.2)
    assert gateway.version("m").version == 1
    await until(lambda: not loaded(gateway, 2))


@pytest.mark.parametrize("led", ["alias", "route"])
async def test_what_something_leads_to_stays_loaded(gateway, led):
    if led == "alias":
        await gateway.set_alias("m", "old", 1)
    else:
        await gateway.traffic.routes.set("m", Route((Share(1, weight=0), Share(2))))
    await gateway.set_alias("m", "live", 2, keep_warm_s=0.1)
    await until(lambda: gateway.version("m", 1).warm_until is None)

    assert loaded(gateway, 1)


async def test_it_is_kept_after_a_restart_too(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "1", alias="live", preload=False)
        await upload(gateway, "2", preload=False)
        await gateway.set_alias("m", "live", 2, keep_warm_s=60)
        until_then = gateway.version("m", 1).warm_until
    async with toy_gateway(tmp_path, launcher) as gateway:
        await gateway.settled.wait()

        assert (loaded(gateway, 1), loaded(gateway, 2)) == (True, False)
        assert gateway.version("m", 1).warm_until == until_then


async def test_what_is_over_by_then_is_forgotten(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "1", alias="live")
        await upload(gateway, "2")
        await gateway.traffic.warmth.keep(gateway.registry.version("m", 1), -1.0)
    async with toy_gateway(tmp_path, launcher) as gateway:
        assert gateway.version("m", 1).warm_until is None
        assert await gateway.traffic.warmth.states.load(warmth.KIND) == []


async def test_a_version_that_is_removed_is_no_longer_kept(gateway):
    await gateway.set_alias("m", "live", 2, keep_warm_s=60)
    await gateway.remove("m", 1)
    await upload(gateway, "3")

    assert gateway.version("m").warm_until is None
