"""A gateway with link providers that are real forwarders, and with the real listeners of tunnels."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from prism_core.gateway.opening import open_gateway
from prism_core.gateway.upkeep import Patience
from prism_core.plugin import PublicListener
from prism_core.rest.entrances import LinkEntrances
from prism_core.rest.room import Room
from prism_core.settings import LimitSettings, Settings
from tests.integration.gateway_toys import ToyLauncher, plugin_set, until

__all__ = ["opened", "published", "until"]

QUICK = Patience(
    first_s=0.02,
    longest_s=0.1,
    publish_s=0.5,
    reach_s=0.5,
    probe_s=0.05,
    calm_probe_s=0.2,
    again_s=0.05,
    withdraw_s=0.3,
)
# Nobody listens there: what is tried here are tunnels, which have listeners of their own.
NOWHERE = PublicListener("127.0.0.1", 9)


@asynccontextmanager
async def opened(data, *providers, wanted=None, listener=NOWHERE, room=100, **settings):
    """Open a gateway that offers ``providers`` beside `lan`."""
    plugins = plugin_set(ToyLauncher())
    plugins.records["prism_link_providers"].update({one.name: one for one in providers})
    limits = LimitSettings(ready_s=10, drain_s=2)
    chosen = Settings(data_dir=data, isolation="toy", limits=limits, host="127.0.0.1", **settings)
    async with open_gateway(chosen, plugins) as gateway:
        gateway.publishing.patience = QUICK
        gateway.publishing.wanted = lambda: wanted or {}
        await gateway.publish(listener, LinkEntrances(gateway, Room(room), asyncio.Event()))
        yield gateway


@pytest.fixture
async def published(tmp_path):
    """Return a function that opens gateways; they are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(*providers, **given):
            return await stack.enter_async_context(opened(tmp_path / "data", *providers, **given))

        yield open_one


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=5) as client:
        yield client
