"""The links of a server: stored first, then valid, then told to followers, like keys."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from prism_core.errors import InvalidParameter, LinkNotFound, PrismError, TunnelFailed
from prism_core.gateway.callers.link import LinkWish, caller_id
from prism_core.gateway.callers.links import Links
from prism_core.gateway.callers.mirrored import MirroredCallers
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.usage import Usage
from prism_core.gateway.channel import CallerUses
from prism_core.gateway.views import TunnelInfo
from tests.unit.gateway.callers.conftest import FakeFollowers


class Publishing:
    """Link providers that are up at once, but for the one called ``broken``; remembers what it was asked."""

    def __init__(self):
        self.calls = []
        self.up = True

    @asynccontextmanager
    async def holding(self, wish):
        if wish == "broken":
            raise TunnelFailed("It is not up.")
        self.calls.append(("hold", wish))
        yield self.info(wish or "lan")
        self.calls.append(("let go", wish))

    def info(self, name):
        url = f"https://{name}.example/x" if self.up else ""
        return TunnelInfo(name, "up" if self.up else "down", url, reason="" if self.up else "No network.")

    async def release(self, name):
        self.calls.append(("release", name))


@pytest.fixture
def publishing():
    return Publishing()


@pytest.fixture
def links(records, followers, audit, usage, publishing, clock):
    return Links(records, followers, audit, [], usage, publishing, clock)


async def opened_again(records, clock):
    """Return the links that another start would have."""
    uses = await records.caller_uses()
    tally = Tally({caller: spent for caller, _, spent in uses})
    usage = Usage(records, FakeFollowers(), {c: at for c, at, _ in uses if at}, tally, clock)
    return Links(records, FakeFollowers(), None, await records.links(), usage, Publishing(), clock)


def opens(table, shown, token):
    try:
        table.enter(shown["slug"], {"x-prism-token": token})
    except PrismError:
        return False
    return True


async def test_a_link_is_valid_everywhere_when_it_is_returned(links, followers):
    wish = LinkWish("churn", rate="5/s", uses=10, expires_s=60, origins=("*",), tunnel="t", note="Hi")
    shown, token = await links.create(wish)

    assert links.list() == [shown]
    assert opens(links.table, shown, token)
    assert opens(followers.mirror.links, shown, token)
    assert followers.agreed == 1
    assert shown == {
        "slug": shown["slug"],
        "model": "churn",
        "verbs": ("predict", "metadata"),
        "rate": "5/s",
        "uses": 10,
        "used": 0,
        "origins": ("*",),
        "password": False,
        "page": True,
        "tunnel": "t",
        "note": "Hi",
        "created": 1000.0,
        "expires": 1060.0,
        "expired": False,
        "last_used": None,
        "url": f"https://t.example/x/s/{shown['slug']}",
        "predict_url": f"https://t.example/x/s/{shown['slug']}/predict",
        "state": "up",
        "reason": "",
    }


async def test_a_provider_is_held_while_a_link_is_made_and_released_with_it(links, publishing):
    shown, _ = await links.create(LinkWish("churn", tunnel="t"))
    assert links.wanted() == {"t": [shown["slug"]]}
    await links.revoke(shown["slug"])

    assert publishing.calls == [("hold", "t"), ("let go", "t"), ("release", "t")]
    assert links.wanted() == {}


async def test_what_cannot_be_reached_is_not_made(links, records):
    with pytest.raises(TunnelFailed):
        await links.create(LinkWish("churn", tunnel="broken"))

    assert links.list() == []
    assert await records.links() == []


async def test_what_no_link_can_be_holds_no_provider(links, publishing):
    with pytest.raises(InvalidParameter):
        await links.create(LinkWish("Churn!"))

    assert publishing.calls == []


async def test_a_link_without_an_address_says_why(links, publishing):
    publishing.up = False
    shown, _ = await links.create(LinkWish("churn"))

    assert (shown["url"], shown["predict_url"]) == ("", "")
    assert (shown["state"], shown["reason"]) == ("down", "No network.")


async def test_links_that_have_ended_want_no_provider(links, usage, clock):
    timed, _ = await links.create(LinkWish("churn", expires_s=10, tunnel="a"))
    counted, _ = await links.create(LinkWish("churn", uses=1, tunnel="b"))
    assert links.wanted() == {"a": [timed["slug"]], "b": [counted["slug"]]}
    usage.tally.spend(caller_id(counted["slug"]))
    clock.now += 10

    assert links.wanted() == {}
    assert [link["expired"] for link in links.list()] == [True, False]


async def test_a_revoked_link_is_gone_everywhere_and_for_good(
    links,
    followers,
    records,
    clock,
):
    (shown, token), (kept, others) = [await links.create(LinkWish("churn")) for _ in range(2)]
    await links.revoke(shown["slug"])
    again = await opened_again(records, clock)

    for table in (links.table, followers.mirror.links, again.table):
        assert (opens(table, shown, token), opens(table, kept, others)) == (False, True)
    assert followers.agreed == 3
    with pytest.raises(LinkNotFound):
        await links.revoke(shown["slug"])


async def test_a_change_that_was_not_stored_is_not_valid(links, records, monkeypatch):
    async def full(*_):
        raise OSError("disk full")

    shown, token = await links.create(LinkWish("churn"))
    monkeypatch.setattr(records, "add_link", full)
    monkeypatch.setattr(records, "remove_link", full)
    with pytest.raises(OSError, match="disk full"):
        await links.create(LinkWish("churn"))
    with pytest.raises(OSError, match="disk full"):
        await links.revoke(shown["slug"])

    assert opens(links.table, shown, token)
    assert len(links.list()) == 1


async def test_use_is_known_at_once_and_written_later(
    links,
    followers,
    usage,
    records,
    clock,
):
    shown, token = await links.create(LinkWish("churn", uses=9))
    caller = caller_id(shown["slug"])
    for table, tally in ((links.table, usage.tally), (followers.mirror.links, followers.mirror.tally)):
        assert opens(table, shown, token)
        tally.spend(caller, 2)
    clock.now += 3
    followers.report()

    (listed,) = links.list()
    assert (listed["used"], listed["last_used"]) == (4, 1003.0)
    await usage.write()
    assert await records.caller_uses() == [(caller, 1003.0, 4)]
    assert (await opened_again(records, clock)).list()[0]["used"] == 4


async def test_what_a_follower_reports_late_brings_no_revoked_link_back(
    links,
    followers,
    usage,
    records,
):
    shown, _ = await links.create(LinkWish("churn"))
    await links.revoke(shown["slug"])
    followers.heard(CallerUses([caller_id(shown["slug"])], {caller_id(shown["slug"]): 3}))
    await usage.write()

    assert await records.caller_uses() == []


async def test_a_new_follower_is_greeted_with_the_links(links, followers):
    await links.create(LinkWish("churn", password="swordfish", origins=("https://a.example",)))
    mirror = MirroredCallers()
    for greeting in followers.greetings:
        mirror.hear(greeting())

    assert mirror.links.links == links.table.links


async def test_pages_are_at_home_where_the_tunnels_lead(links, publishing):
    await links.create(LinkWish("churn", tunnel="t"))
    assert set(links.table.homes()) == {"https://t.example"}
    publishing.up = False

    assert set(links.table.homes()) == set()


async def test_the_audit_log_has_links_without_their_secrets(links, tmp_path):
    shown, token = await links.create(LinkWish("churn", password="swordfish", uses=3))
    await links.revoke(shown["slug"])
    told = (tmp_path / "audit.jsonl").read_text()
    made, gone = [json.loads(line) for line in told.splitlines()][-2:]

    assert (made["action"], made["subject"]) == ("link.create", shown["slug"])
    assert (made["facts"]["model"], made["facts"]["uses"], made["facts"]["password"]) == ("churn", 3, True)
    assert (gone["action"], gone["subject"]) == ("link.revoke", shown["slug"])
    assert not any(secret in told for secret in (token, token[4:], "swordfish"))
