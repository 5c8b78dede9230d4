"""A link through all that happens to networks: it comes back by itself, and no answer is ever wrong."""

from __future__ import annotations

import time

import pytest

from tests.network.peers import until
from tests.network.stranger import hammering

# What is promised is 5 s, and measured by `bench.tunnels`; other work of a test's machine must not fail it.
BACK_S = 20.0
# So short that a request whose connection has died is soon asked again.
PATIENCE_S = 1.0


@pytest.fixture
def hammer(net, by_relay):
    """A stranger who asks all the time; at the end no answer may have been wrong."""
    with hammering(net.stranger, by_relay, timeout=PATIENCE_S, threads=3) as hammer:
        hammer.answered(0.0)
        yield hammer
    assert hammer.wrong == []


def unanswered(hammer):
    """Return once nothing has been answered for a while."""
    until(lambda: not any(f.right and f.ended > time.monotonic() - 0.5 for f in hammer.fates[-200:]))


def is_back(hammer, laptop, link):
    """Wait until the link works again, under the address that it had."""
    hammer.answered(time.monotonic(), BACK_S)
    laptop.until_up("relay")
    (shown,) = [one for one in laptop.admin("GET", "/links")["links"] if one["slug"] == link.slug]
    assert shown["predict_url"] == link.predict_url


def test_the_line_is_cut(net, laptop, by_relay, hammer):
    net.homes[0].cut()
    unanswered(hammer)
    net.homes[0].mend()

    is_back(hammer, laptop, by_relay)


def test_the_relay_is_killed_and_started_again(relay, laptop, by_relay, hammer):
    relay.kill()
    unanswered(hammer)
    relay.start()

    is_back(hammer, laptop, by_relay)


@pytest.mark.sweep
def test_the_laptop_gets_another_address(net, laptop, by_relay, hammer):
    net.homes[0].leave()
    unanswered(hammer)
    net.homes[0].join("192.168.1.77")

    is_back(hammer, laptop, by_relay)


@pytest.mark.sweep
def test_the_router_forgets_all_connections(net, laptop, by_relay, hammer):
    """Nobody is told: what was sent is dropped, and both ends believe in a connection that is no more."""
    net.homes[0].forget()
    unanswered(hammer)

    is_back(hammer, laptop, by_relay)


@pytest.mark.sweep
def test_the_relay_hangs(relay, laptop, by_relay, hammer):
    relay.freeze()
    until(lambda: laptop.tunnel("relay")["state"] != "up", 60)
    relay.thaw()

    is_back(hammer, laptop, by_relay)


@pytest.mark.sweep
def test_the_laptop_sleeps(laptop, by_relay, hammer):
    laptop.pause()
    time.sleep(6)
    laptop.wake()

    is_back(hammer, laptop, by_relay)


@pytest.mark.sweep
def test_a_cut_that_lasts(net, laptop, by_relay, hammer):
    net.homes[0].cut()
    time.sleep(15)  # long after both sides have given the connection up
    net.homes[0].mend()

    is_back(hammer, laptop, by_relay)


def test_a_server_that_starts_again_has_its_links(laptop, by_relay, hammer):
    laptop.kill()
    laptop.start()

    is_back(hammer, laptop, by_relay)
