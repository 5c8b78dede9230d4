"""A link is opened with its token and its password; guessing it is limited."""

from __future__ import annotations

import asyncio

import pytest

from prism_core.errors import LinkExpired, LinkNotFound, PrismError, RateLimited, Unauthorized
from prism_core.gateway.callers import passwords
from prism_core.gateway.callers.link import LinkWish, caller_id, new_link
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.unlocking import Unlocking

NOW = 1_800_000_000.0
RIGHT, WRONG = "swordfish", "haddock"


class Scene:
    """Links, one with a password, and clocks that stand."""

    def __init__(self):
        self.wall, self.clock = NOW, 50.0
        self.locked, self.token = new_link(LinkWish("m", password=RIGHT, uses=5, expires_s=100), NOW)
        self.open, self.other = new_link(LinkWish("m"), NOW)
        self.uses = Tally()
        self.table = LinkTable([self.locked, self.open], uses=self.uses, clock=lambda: self.wall)
        self.unlocking = Unlocking(self.table, lambda: self.wall, lambda: self.clock)

    async def asked(self, link, token, password=""):
        """Return a session, or the refusal."""
        try:
            return await self.unlocking.open(self.table.find(link.slug), token, password)
        except PrismError as error:
            return error


@pytest.fixture
def scene(monkeypatch):
    """Hashes are quick here: `test_a_password_opens` has real ones."""
    monkeypatch.setattr(passwords, "_hash", lambda password, salt: password.encode() + salt)
    return Scene()


def opens(scene, link, session):
    scene.table.enter(link.slug, {"x-prism-token": session})
    return True


async def test_a_password_opens():
    scene = Scene()
    session, ends = await scene.asked(scene.locked, scene.token, RIGHT)

    assert opens(scene, scene.locked, session)
    assert ends == NOW + 100
    assert isinstance(await scene.asked(scene.locked, scene.token, WRONG), Unauthorized)


async def test_a_link_without_a_password_is_opened_by_its_token(scene):
    session, ends = await scene.asked(scene.open, scene.other)

    assert opens(scene, scene.open, session)
    assert ends == NOW + 12 * 3600


@pytest.mark.parametrize("password", ["", WRONG, RIGHT])
async def test_without_the_token_no_password_is_looked_at(scene, password, monkeypatch):
    monkeypatch.setattr(passwords, "opens", None)
    for token in ("", "x", scene.other):
        assert isinstance(await scene.asked(scene.locked, token, password), Unauthorized)


async def test_wrong_passwords_are_limited_and_the_right_one_then_too(scene):
    told = [await scene.asked(scene.locked, scene.token, WRONG) for _ in range(11)]
    assert [type(one) for one in told] == [Unauthorized] * 10 + [RateLimited]
    assert told[-1].details["retry_after_s"] == pytest.approx(12)
    assert isinstance(await scene.asked(scene.locked, scene.token, RIGHT), RateLimited)
    scene.clock += 12

    assert isinstance(await scene.asked(scene.locked, scene.token, RIGHT), tuple)


async def test_right_passwords_are_not_limited(scene):
    for _ in range(30):
        assert isinstance(await scene.asked(scene.locked, scene.token, RIGHT), tuple)


async def test_no_password_is_no_try(scene):
    for _ in range(30):
        assert isinstance(await scene.asked(scene.locked, scene.token), Unauthorized)


async def test_many_tries_at_once_are_no_more_than_one_by_one(scene):
    told = await asyncio.gather(*(scene.asked(scene.locked, scene.token, WRONG) for _ in range(40)))

    assert [type(one) for one in told].count(Unauthorized) == 10


async def test_one_links_tries_are_not_anothers(scene):
    other, token = new_link(LinkWish("m", password=RIGHT), NOW)
    scene.table.replace([scene.locked, other])
    for _ in range(11):
        await scene.asked(scene.locked, scene.token, WRONG)

    assert isinstance(await scene.asked(other, token, RIGHT), tuple)


ENDS = {
    "used up": (lambda scene: scene.uses.spend(caller_id(scene.locked.slug), 5), LinkExpired),
    "revoked": (lambda scene: scene.table.replace([]), LinkNotFound),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_link_that_ends_while_its_password_is_looked_at_gives_no_session(scene, monkeypatch, end):
    ended, error = ENDS[end]
    monkeypatch.setattr(passwords, "opens", lambda record, password: ended(scene) is None)

    assert isinstance(await scene.asked(scene.locked, scene.token, RIGHT), error)
