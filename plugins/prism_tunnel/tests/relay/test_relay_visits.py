"""Visitors of a relay, as they come: whom they reach, what is passed on, and what never is."""

import asyncio
import json

import pytest

from prism_core.plugin import PublicListener, TunnelRefused
from prism_tunnel.relay import clients
from prism_tunnel.relay.linker import RelayLinker
from prism_tunnel.relay.serving import look


async def test_a_visitor_reaches_who_publishes_the_name(relay, echo):
    async with relay.published(echo):
        status, _, body = await relay.ask("/s/abc?x=1", headers="Accept: */*\r\n")

    assert status == 200
    assert body.startswith(b"GET /s/abc?x=1 HTTP/1.1\r\nhost: ann.links.test\r\naccept: */*\r\n")


async def test_the_laptop_is_told_who_asks(relay, echo):
    """What a visitor claims is thrown away."""
    claims = "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n"
    async with relay.published(echo):
        _, _, body = await relay.ask(headers=claims)

    assert b"1.2.3.4" not in body
    assert b"x-forwarded-for: 127.0.0.1\r\n" in body
    assert b"x-forwarded-proto: http\r\n" in body
    assert b"x-forwarded-host: ann.links.test\r\n" in body


@pytest.mark.parametrize("name", ["bob", "www.ann", "", "ann.links.test.evil"])
async def test_a_name_that_nobody_may_have_is_not_found(relay, echo, name):
    async with relay.published(echo):
        status, _, body = await relay.ask(name=name)

    assert status == 404
    assert json.loads(body)["code"] == "link_not_found"


async def test_a_laptop_that_is_away_is_told_apart_from_a_name_that_is_not_known(relay, echo):
    async with relay.published(echo, names=("ann", "ann-*")):
        status, head, body = await relay.ask(name="ann-2")

    assert status == 503
    assert b"retry-after: 5" in head
    assert json.loads(body)["code"] == "tunnel_failed"


async def test_a_server_that_does_not_listen_is_told(relay, echo, unused_tcp_port):
    async with relay.published(unused_tcp_port):
        status, _, _ = await relay.ask()

    assert status == 503


async def test_requests_on_one_connection_go_to_whom_each_is_for(relay, echo):
    """Connections are kept, and shared between names: each request is looked at."""
    async with relay.published(echo), relay.published(echo, "bob"):
        reader, writer = await relay.visit()
        for name in ("ann", "bob", "nobody"):
            writer.write(f"GET /{name} HTTP/1.1\r\nHost: {name}.links.test\r\n\r\n".encode())
        said = await reader.read()
        writer.close()

    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert b"GET /ann HTTP/1.1\r\nhost: ann." in said
    assert b"GET /bob HTTP/1.1\r\nhost: bob." in said
    assert said.count(b"HTTP/1.1 404 ") == 1


async def test_only_a_clients_own_names_are_given_to_it(relay, echo):
    linker = RelayLinker(relay.join("ann"), "bob")

    with pytest.raises(TunnelRefused, match="'bob' is not one of 'ann'"):
        await linker.publish(PublicListener("127.0.0.1", echo))


async def test_a_wrong_token_opens_nothing(relay, echo):
    join = relay.join("ann")
    wrong = RelayLinker(type(join)(join.host, join.port, "ann", clients.new_token(), join.fingerprint), "ann")

    with pytest.raises(TunnelRefused, match="does not accept the login"):
        await wrong.publish(PublicListener("127.0.0.1", echo))


async def test_another_host_key_is_refused_with_both_fingerprints(relay, echo):
    join = relay.join("ann")
    other = "SHA256:" + "A" * 43
    linker = RelayLinker(type(join)(join.host, join.port, "ann", join.token, other), "ann")

    with pytest.raises(TunnelRefused) as caught:
        await linker.publish(PublicListener("127.0.0.1", echo))

    assert other in caught.value.message
    assert relay.open.fingerprint in caught.value.message


async def test_a_token_that_is_revoked_ends_what_is_open(relay, echo):
    async with relay.published(echo) as linker:
        broken = asyncio.create_task(linker.broken())
        clients.remove(relay.place.clients, "ann")
        ended = look(relay.hall)
        reason = await asyncio.wait_for(broken, 20)

        assert ended == 1
        assert "revoked" in reason
        with pytest.raises(TunnelRefused):
            await linker.publish(PublicListener("127.0.0.1", echo))
