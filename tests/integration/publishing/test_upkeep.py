"""Tunnels come up, are lost, and come up again, while the server goes on; with real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from prism_core.errors import TunnelFailed, TunnelRefused, UnknownPlugin
from prism_core.links.lan import LanConfig, LanLinker
from prism_core.plugin import LinkProvider, PublicListener
from tests.integration.publishing.conftest import opened, until
from tests.integration.tunnels import Forwarder, Noticing, provider

KINDS = pytest.mark.parametrize("make", [Forwarder, Noticing])


async def test_a_tunnel_is_up_when_a_probe_through_it_is_answered(published, client):
    gateway = await published(provider(forwarder := Forwarder()))

    info = await gateway.publishing.ensure("forwarder")

    assert (info.state, info.reason, info.attempts) == ("up", "", 0)
    assert info.url.startswith("http://127.0.0.1:")
    assert (await client.get(f"{info.url}/health/live")).status_code == 404
    assert forwarder.published == 1


async def test_a_tunnel_that_leads_elsewhere_is_not_up(published):
    """Whoever answers, it is not this server."""

    class Astray(Forwarder):
        async def publish(self, listener):
            async def page(reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome")
                writer.close()

            self._server = await asyncio.start_server(page, "127.0.0.1", 0)
            return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    gateway = await published(provider(Astray()))

    info = await gateway.publishing.ensure("forwarder")

    assert info.state == "down"
    assert "it is not this server" in info.reason


@KINDS
async def test_what_is_cut_is_published_again(published, make):
    gateway = await published(provider(forwarder := make()))
    first = await gateway.publishing.ensure("forwarder")

    forwarder.cut()
    await until(lambda: gateway.publishing.info("forwarder").state == "down")
    again = await gateway.publishing.ensure("forwarder")

    assert (first.state, again.state) == ("up", "up")
    assert forwarder.published == 2
    assert forwarder.opened == 1


async def test_what_freezes_is_published_again(published, monkeypatch):
    """The connection stands, and nothing comes through."""
    monkeypatch.setattr("prism_core.gateway.probing.WHOLE_S", 0.2)
    gateway = await published(provider(forwarder := Forwarder()))
    await gateway.publishing.ensure("forwarder")

    forwarder.flowing.clear()
    await until(lambda: gateway.publishing.info("forwarder").state == "down")
    reason = gateway.publishing.info("forwarder").reason
    forwarder.flowing.set()
    again = await gateway.publishing.ensure("forwarder")

    assert "did not answer within" in reason
    assert again.state == "up"


async def test_a_try_that_fails_is_told_and_repeated(published):
    forwarder = Forwarder()
    forwarder.failures = [TunnelFailed("The relay is away.", hint="Wait."), OSError("no route")]
    gateway = await published(provider(forwarder))

    first = await gateway.publishing.ensure("forwarder")
    await until(lambda: gateway.publishing.info("forwarder").state == "up")

    assert (first.state, first.reason) == ("down", "The relay is away. Wait.")
    assert forwarder.published == 3


async def test_what_is_refused_is_not_tried_until_somebody_asks(published):
    forwarder = Forwarder()
    forwarder.failures = [TunnelRefused("The name is taken.")]
    gateway = await published(provider(forwarder))

    refused = await gateway.publishing.ensure("forwarder")
    await gateway.publishing.look("The network changed.")
    await asyncio.sleep(0.2)
    tried = forwarder.published
    again = await gateway.publishing.ensure("forwarder")

    assert (refused.state, refused.reason, tried) == ("failed", "The name is taken.", 1)
    assert again.state == "up"


async def test_a_provider_that_hangs_holds_up_nobody(published):
    """Neither who asks, nor other providers, nor the server's end."""
    forwarder, other = Forwarder(), Forwarder()
    forwarder.hang.clear()
    gateway = await published(provider(forwarder), provider(other, "other"))

    hanging, info = await asyncio.gather(*map(gateway.publishing.ensure, ("forwarder", "other")))

    assert (hanging.state, info.state) == ("down", "up")
    assert "took more than" in hanging.reason


async def test_what_nobody_wants_is_closed(published, client):
    gateway = await published(provider(forwarder := Forwarder()))
    async with gateway.publishing.holding("forwarder") as info:
        await gateway.publishing.release("forwarder")
        kept = gateway.publishing.info("forwarder").state

    await until(lambda: forwarder.closed)
    async with gateway.publishing.holding("forwarder") as again:
        pass

    assert (info.state, kept, again.state) == ("up", "up", "up")
    assert forwarder.withdrawn >= 1
    with pytest.raises(httpx.ConnectError):
        await client.get(info.url)


async def test_a_full_house_is_no_loss(published):
    """A probe that gets no place says nothing about the tunnel; to withdraw it would end who is here."""
    gateway = await published(provider(forwarder := Forwarder()), room=1)
    unanswered = []

    async def counting(base, ask=gateway.publishing.prober.ask):
        if reason := await ask(base):
            unanswered.append(reason)
        return reason

    gateway.publishing.prober.ask = counting
    url = httpx.URL((await gateway.publishing.ensure("forwarder")).url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /s/nobody/open HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    await until(lambda: len(unanswered) >= 4)
    state = gateway.publishing.info("forwarder").state

    assert (state, forwarder.published) == ("up", 1)
    assert await reader.read(12) == b"HTTP/1.1 404"
    writer.close()


async def test_two_who_ask_at_once_get_one_tunnel(published):
    gateway = await published(provider(forwarder := Forwarder()))

    first, second = await asyncio.gather(*(gateway.publishing.ensure("forwarder") for _ in range(2)))

    assert first == second
    assert first.state == "up"
    assert (forwarder.opened, forwarder.published) == (1, 1)


async def test_auto_takes_the_first_that_works(published):
    broken, works, last = Forwarder(), Forwarder(), Forwarder()
    broken.failures = [TunnelRefused("No key.")]
    gateway = await published(
        provider(last, "c", rank=30),
        provider(works, "b", rank=20),
        provider(broken, "a", rank=10),
        provider(Forwarder(), "missing", rank=1, available=lambda: "It is not installed."),
        provider(Forwarder(), "never"),
    )

    info = await gateway.publishing.choose("auto")

    assert (info.name, info.state, last.opened) == ("b", "up", 0)
    await until(lambda: broken.closed == 1)


async def test_auto_says_why_nothing_works(published):
    broken = Forwarder()
    broken.failures = [TunnelRefused("No key.")]
    gateway = await published(
        provider(broken, "a", rank=10),
        provider(Forwarder(), "b", rank=1, available=lambda: "It is not installed."),
    )

    with pytest.raises(TunnelFailed) as failed:
        await gateway.publishing.choose("auto")

    assert failed.value.details["reasons"] == {"b": "It is not installed.", "a": "No key."}


async def test_an_unknown_provider(published):
    gateway = await published()

    with pytest.raises(UnknownPlugin):
        await gateway.publishing.ensure("relai")


async def test_the_public_url_follows_the_network(published):
    """A laptop is carried to another house; it sleeps at home in between, where nothing changes."""
    house, moved = ["10.1.2.3"], []

    @asynccontextmanager
    async def open_lan(config):
        yield LanLinker(config, find=lambda: house[0])

    lan = LinkProvider("lan", open=open_lan, config=LanConfig)
    gateway = await published(lan, listener=PublicListener("0.0.0.0", 9))
    before = gateway.public_url
    gateway.publishing.public_moved = moved.append
    await gateway.publishing.look("This machine slept.")
    house[0] = "10.9.8.7"
    await gateway.publishing.look("The network changed.")
    await until(lambda: moved)

    assert before == "http://10.1.2.3:9"
    assert moved == [gateway.public_url] == ["http://10.9.8.7:9"]
    assert gateway.publishing.info("lan").state == "up"


async def test_a_local_provider_that_fails_leaves_the_own_address(published):
    forwarder = Forwarder()
    forwarder.failures = [RuntimeError("no luck")] * 100
    gateway = await published(provider(forwarder, "lan", tunnel=False))

    assert gateway.public_url == "http://127.0.0.1:9"
    assert gateway.publishing.info("lan").state == "down"


async def test_the_address_before_a_restart_is_not_taken_for_the_present_one(tmp_path):
    forwarder = Forwarder()
    async with opened(tmp_path, provider(forwarder, "lan", tunnel=False)) as gateway:
        before = gateway.public_url
    forwarder.failures = [RuntimeError("no luck")] * 100
    async with opened(tmp_path, provider(forwarder, "lan", tunnel=False)) as gateway:
        now, known = gateway.public_url, gateway.publishing.info("lan").url

    assert before == known
    assert now == "http://127.0.0.1:9"


async def test_a_tunnel_for_all_links_is_not_the_public_url(published):
    gateway = await published(provider(Forwarder()), link="forwarder")

    async with gateway.publishing.holding("") as info:
        assert (info.name, info.state) == ("forwarder", "up")
        assert gateway.public_url == "http://127.0.0.1:9"


async def test_stored_links_have_their_tunnels_again(tmp_path):
    """A server that starts waits for none of them, and one that is not there any more stops nothing."""
    wanted = {"forwarder": ["abc"], "gone": ["xyz"]}
    async with opened(tmp_path, provider(forwarder := Forwarder()), wanted=wanted) as gateway:
        await until(lambda: gateway.publishing.info("forwarder").state == "up")
        states = {info.name: info.state for info in gateway.publishing.infos()}

    assert states == {"forwarder": "up", "gone": "failed", "lan": "up"}
    assert forwarder.closed == 1
