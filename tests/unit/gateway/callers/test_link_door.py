"""The door of links asks in the order of the other one, and counts to the same limits."""

from __future__ import annotations

import pytest

from prism_core.errors import Forbidden, LinkExpired, LinkNotFound, PrismError, RateLimited, Unauthorized
from prism_core.gateway.callers.addresses import Proxies
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.link import LinkWish, caller_id, new_link
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally
from prism_core.rates import Rate

NOW = 1_800_000_000.0


class Scene:
    """A door with one link, on a clock that stands."""

    def __init__(self, rates=None, addresses=None, guards=(), default=None, **wish):
        self.now = 50.0
        self.link, self.token = new_link(LinkWish("churn@champion", **wish), NOW)
        self.uses = Tally()
        self.table = LinkTable([self.link], uses=self.uses, clock=lambda: NOW)
        self.table.limit(Rate.parse(default) if default else None)
        limiter = Limiter(
            {name: Rate.parse(rate) for name, rate in (rates or {}).items()},
            uses=self.uses,
            quota=1,
            clock=lambda: self.now,
        )
        self.door = LinkDoor(self.table, limiter, addresses=addresses, guards=guards)

    def enter(self, verb="predict", token=None, client="192.0.2.1", **headers):
        told = {"x-prism-token": self.token if token is None else token} | headers
        return self.door.enter(f"~{self.link.slug}", verb, told, client)

    def asked(self, count, **how):
        """Return what comes of so many requests."""
        told = []
        for _ in range(count):
            try:
                self.enter(**how)
                told.append("in")
            except PrismError as error:
                told.append(error.details.get("limit", error.code))
        return told

    def used(self):
        return self.uses.spent(caller_id(self.link.slug))


def test_behind_the_door_a_link_is_its_model_and_its_holder():
    scene = Scene(uses=5)
    entry = scene.enter()

    assert (entry.call.model, entry.call.caller.id) == ("churn@champion", caller_id(scene.link.slug))
    assert entry.lines == b'ratelimit-policy: "quota";q=5\r\nratelimit: "quota";r=4\r\n'


def test_predictions_are_uses_and_looks_are_not():
    scene = Scene()
    scene.asked(3)
    scene.asked(2, verb="read")

    assert scene.used() == 3


def test_a_link_without_uses_has_no_end_whatever_quota_keys_have():
    assert Scene().asked(5) == ["in"] * 5


def test_a_link_ends_with_its_uses():
    scene = Scene(uses=2)

    assert scene.asked(4) == ["in", "in", "link_expired", "link_expired"]
    assert scene.asked(1, verb="read") == ["link_expired"]
    assert scene.used() == 2


def test_a_link_has_its_rate_and_says_so():
    scene = Scene(rate="2/s")

    assert scene.asked(3) == ["in", "in", "link"]
    with pytest.raises(RateLimited, match="This link may be asked no more than 2/s"):
        scene.enter()
    scene.now += 0.5
    assert scene.asked(2) == ["in", "link"]


def test_a_link_without_a_rate_has_the_servers():
    assert Scene(default="1/s").asked(2) == ["in", "link"]
    assert Scene(default="1/s", rate="3/s").asked(4) == ["in"] * 3 + ["link"]


def test_who_guesses_tokens_has_the_limit_of_an_address():
    scene = Scene({"address": "2/min"})

    assert scene.asked(3, token="wrong") == ["unauthorized", "unauthorized", "address"]
    assert scene.asked(1, client="192.0.2.2") == ["in"]


def test_a_link_counts_to_its_model():
    assert Scene({"model": "2/min"}).asked(3) == ["in", "in", "model"]


def test_what_is_refused_uses_nothing():
    scene = Scene({"model": "1/min"}, uses=9)
    scene.asked(5)

    assert scene.used() == 1


def test_refusals_are_counted():
    scene = Scene(uses=1)
    scene.asked(1, token="wrong")
    scene.asked(2)
    with pytest.raises(LinkNotFound):
        scene.door.knock("nosuchlink", {}, "")

    assert scene.door.refused == {"unauthorized": 1, "link_expired": 1, "link_not_found": 1}


def test_a_link_that_may_only_look_predicts_nothing():
    scene = Scene(verbs=("metadata",))

    assert scene.asked(1) == ["forbidden"]
    assert scene.asked(1, verb="read") == ["in"]


def test_guards_see_the_model_and_who_asks():
    class Guard:
        def check(self, call):
            assert (call.model, call.caller.id[:5]) == ("churn@champion", "link:")
            raise Forbidden("not now")

    with pytest.raises(Forbidden, match="not now"):
        Scene(guards=[Guard()]).enter()


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
def test_each_listener_believes_its_own_header(peer):
    scene = Scene({"address": "1/min"})
    tunnel = scene.door.at(Proxies(["127.0.0.0/8", "::1"], "x-forwarded-for"))

    def address(door, client, forwarded):
        headers = {"x-prism-token": scene.token, "x-forwarded-for": forwarded}
        return door.enter(f"~{scene.link.slug}", "read", headers, client).call.client

    assert address(tunnel, peer, "198.51.100.1") == "198.51.100.1"
    assert address(tunnel, "192.0.2.9", "198.51.100.2") == "192.0.2.9"
    assert address(scene.door, "192.0.2.8", "198.51.100.3") == "192.0.2.8"
    with pytest.raises(RateLimited):  # there is one bucket for an address, wherever it comes in
        address(scene.door, "198.51.100.1", "")


# --- who looks at a page --------------------------------------------------------------------------------


def test_who_shows_nothing_or_something_wrong_looks_at_a_gate():
    scene = Scene()
    for headers in ({}, {"x-prism-token": "wrong"}, {"cookie": "prism_session=prs_1_2"}):
        seen = scene.door.look(scene.link.slug, headers, "")
        assert (seen.link, seen.caller) == (scene.link, None)


def test_who_shows_the_token_looks_at_the_page_and_uses_nothing():
    scene = Scene(uses=1, rate="1/h")
    for _ in range(5):
        seen = scene.door.look(scene.link.slug, {"x-prism-token": scene.token}, "")
        assert seen.caller.id == caller_id(scene.link.slug)

    assert scene.used() == 0


@pytest.mark.parametrize(
    ("slug", "headers", "error"),
    [
        ("nosuchlink", {}, LinkNotFound),
        ("", {}, LinkNotFound),
        (None, {"origin": "https://evil.example", "host": "x"}, Forbidden),
    ],
)
def test_there_is_nothing_to_look_at(slug, headers, error):
    scene = Scene()
    with pytest.raises(error):
        scene.door.look(scene.link.slug if slug is None else slug, headers, "")


def test_a_link_that_has_ended_has_no_gate():
    scene = Scene(uses=1)
    scene.enter()
    with pytest.raises(LinkExpired):
        scene.door.look(scene.link.slug, {}, "")


def test_looks_count_to_the_address():
    scene = Scene({"address": "1/min"})
    scene.door.look(scene.link.slug, {}, "192.0.2.1")
    with pytest.raises(RateLimited):
        scene.door.look(scene.link.slug, {}, "192.0.2.1")


def test_no_token_says_the_same_of_every_link():
    """Neither the model nor whether there is one is in what a stranger is told."""
    told = []
    for model in ("churn", "nobody/7"):
        link, _ = new_link(LinkWish(model), NOW)
        table = LinkTable([link], uses=Tally())
        with pytest.raises(Unauthorized) as refused:
            LinkDoor(table, Limiter()).enter(f"~{link.slug}", "predict", {}, "")
        told.append((refused.value.message, refused.value.hint, refused.value.details))

    assert told[0] == told[1]
