"""Two laptops on one relay: their strangers never get each other's answers, whatever happens to the relay."""

from __future__ import annotations

import time

import pytest

from tests.network.internet import internet
from tests.network.stranger import VALUES, hammering, visiting


@pytest.fixture(scope="module")
def net(places):
    with internet(homes=2) as made:
        yield made


@pytest.fixture(scope="module")
def shared_by_two(make_laptop):
    """A link of each of two laptops, whose models are called the same and answer differently."""
    return [make_laptop(home=n, factor=n + 2).share("m", n + 2, "relay") for n in range(2)]


def test_two_laptops_are_never_mixed(net, relay, shared_by_two):
    ours, theirs = shared_by_two
    with hammering(net.stranger, ours, timeout=2) as one, hammering(net.stranger, theirs, timeout=2) as other:
        for hammer in (one, other):
            hammer.answered(0.0)
        relay.kill()
        relay.start()
        for hammer in (one, other):
            hammer.answered(time.monotonic())

    assert one.wrong == other.wrong == []


def test_the_token_of_one_opens_nothing_of_the_other(net, shared_by_two):
    ours, theirs = shared_by_two
    with visiting(net.stranger, theirs) as visit:
        assert visit.predict(theirs, 2, Authorization=f"Bearer {ours.token}").status == 401
        assert visit.predict(theirs, 2).is_right(2, theirs.factor)


def test_one_connection_may_ask_both(net, shared_by_two):
    """Proxies and browsers send requests for several hosts over one connection to one address."""
    ours, theirs = shared_by_two
    with visiting(net.stranger, ours) as visit:
        for _ in range(20):
            for link in (ours, theirs):
                value = next(VALUES)
                assert visit.predict(link, value, Host=host(link)).is_right(value, link.factor)


def host(link):
    """Return what stands in Host for a link."""
    return link.base.partition("://")[2].partition("/")[0]
