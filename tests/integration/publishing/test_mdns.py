"""The name in the local network, found by a real resolver over multicast on loopback."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager

import pytest
from zeroconf import AddressResolverIPv4
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from prism_core.converters import structure_extension_config
from prism_core.errors import ConfigError
from prism_core.links.lan import LanConfig, open_lan
from prism_core.links.mdns import SERVICE
from prism_core.plugin import PublicListener

LOOPBACK = ["127.0.0.1"]


@pytest.fixture
def label():
    """A name that no other test run on this machine has."""
    return f"prism-{secrets.token_hex(4)}"


@asynccontextmanager
async def resolver():
    """Another party on the network."""
    async with AsyncZeroconf(interfaces=LOOPBACK) as zeroconf:
        await zeroconf.zeroconf.async_wait_for_start()
        yield zeroconf


async def resolved(zeroconf, name):
    asked = AddressResolverIPv4(f"{name}.")
    await asked.async_request(zeroconf.zeroconf, 600)
    return asked.parsed_addresses()


async def test_a_name_is_announced_and_taken_back(label):
    async with resolver() as other, open_lan(LanConfig(mdns=label)) as linker:
        url = await linker.publish(PublicListener("127.0.0.1", 8123))
        service = await other.async_get_service_info(SERVICE, f"{label}.{SERVICE}")
        addresses = await resolved(other, f"{label}.local")
    async with resolver() as later:
        gone = await resolved(later, f"{label}.local")

    assert url == f"http://{label}.local:8123"
    assert (service.server, service.port) == (f"{label}.local.", 8123)
    assert addresses == ["127.0.0.1"]
    assert gone == []


@pytest.mark.sweep
async def test_a_name_that_another_machine_has_is_left_to_it(label, caplog):
    async with resolver() as other:
        info = AsyncServiceInfo(
            SERVICE,
            f"theirs-{label}.{SERVICE}",
            addresses=[bytes([10, 9, 8, 7])],
            port=1,
            server=f"{label}.local.",
        )
        await other.async_register_service(info, cooperating_responders=True)
        async with open_lan(LanConfig(mdns=label)) as linker:
            url = await linker.publish(PublicListener("127.0.0.1", 8123))

    assert url == f"http://{label}-2.local:8123"
    assert f"{label}.local is the name of 10.9.8.7 already" in caplog.text


async def test_where_nothing_can_be_announced_the_address_is_named(label, caplog):
    """TEST-NET-1: no interface has it."""
    async with open_lan(LanConfig(mdns=label)) as linker:
        url = await linker.publish(PublicListener("192.0.2.1", 8123))

    assert url == "http://192.0.2.1:8123"
    assert "cannot be announced" in caplog.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"mdns": "prism.local"}, "one word"),
        ({"mdns": "-x"}, "one word"),
        ({"mdns": "prism", "host": "example.org"}, "cannot both"),
    ],
)
def test_a_name_that_cannot_be(config, said):
    with pytest.raises(ConfigError, match=said):
        structure_extension_config(LanConfig, config, "lan")


def test_without_the_package_it_is_said_at_once(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"prism-core\[mdns\]"):
        structure_extension_config(LanConfig, {"mdns": "prism"}, "lan")
