"""The leader's side: what followers are told and asked, and what comes of their reports."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import attrs
import pytest

from prism_core.errors import InsufficientMemory
from prism_core.gateway import followers as module
from prism_core.gateway.channel import (
    Accept,
    Accepting,
    Ask,
    Disappoint,
    Drain,
    Ready,
    Records,
    Told,
    Update,
    Wake,
)
from prism_core.gateway.followers import Followers, Member
from prism_core.gateway.lifecycle import State
from prism_core.gateway.registry import Registry, Version
from prism_core.specs import CallRecord
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of
from tests.unit.gateway.test_mirror import lane_of

RECORD = CallRecord("m", 1, 200, "ok", 1, 2, 0.001, 0.002, 0.003, "miss")


class FakeChannel:
    """Remembers what was sent; ``answers`` each question at once with what is in flight, None to hang."""

    def __init__(self, scene, answers=()):
        self.sent, self.scene, self.answers, self.member = [], scene, answers, None
        self.lost = asyncio.Event()

    def send(self, message):
        self.sent.append(message)
        if isinstance(message, Ask) and self.answers is not None:
            told = Told(message.id, list(self.answers))
            asyncio.get_running_loop().call_soon(self.scene.followers.hear, self.member, told)

    @property
    def updates(self):
        return [message.models for message in self.sent if isinstance(message, Update)]


@attrs.define
class Scene:
    registry: Registry
    records: list = attrs.field(factory=list)
    followers: Followers = attrs.field(init=False)
    killed: list = attrs.field(factory=list)

    def __attrs_post_init__(self):
        self.followers = Followers(self.registry, self.records.append)

    def join(self, answers=(), ready=True) -> FakeChannel:
        channel = FakeChannel(self, answers)
        member = Member(len(self.followers.members) + 1, lambda: self.kill(member))
        member.channel, channel.member = channel, member
        self.followers.join(member)
        if ready:
            self.followers.hear(member, Ready())
        return channel

    def kill(self, member):
        self.killed.append(member.pid)
        self.followers.leave(member)
        member.channel.lost.set()

    def put(self, number=1):
        manifest = manifest_of("m", number)
        version = Version(manifest, SIGNATURE, State.READY, lane=lane_of(manifest, SIGNATURE))
        self.registry.put(version)
        self.registry.refresh()
        return version


@pytest.fixture
def scene():
    return Scene(Registry(ignore))


async def turn():
    await asyncio.sleep(0)


async def test_a_new_follower_is_told_everything_and_then_what_changes(scene):
    scene.put(1)
    channel = scene.join()
    assert [list(update) for update in channel.updates] == [["m"]]

    scene.put(2)
    scene.put(3)
    await turn()

    assert [len(update["m"].versions) for update in channel.updates] == [1, 3]


async def test_one_that_joins_an_empty_leader_is_told_that_there_is_nothing(scene):
    assert scene.join().updates == [{}]


async def test_nothing_is_told_twice(scene):
    channel = scene.join()
    scene.registry.refresh()
    await turn()

    assert channel.updates == [{}]


async def test_without_followers_nothing_is_scheduled_and_everything_returns(scene):
    scene.put()

    assert not scene.followers._due
    await scene.followers.agree()
    assert await scene.followers.quiet(1.0) == 1.0
    assert await scene.followers.in_flight() == {}


async def test_a_question_comes_after_what_has_just_changed(scene):
    channel = scene.join()
    scene.put()
    await scene.followers.agree()

    assert [type(message) for message in channel.sent] == [Update, Accept, Update, Ask]


async def test_one_that_does_not_agree_in_time_is_killed(scene, monkeypatch):
    monkeypatch.setattr(module, "AGREE_S", 0.01)
    scene.join()
    scene.join(answers=None)
    await scene.followers.agree()

    assert scene.killed == [2]


async def test_one_that_is_still_starting_is_not_waited_for(scene):
    """It is told all changes before it may accept, so it cannot answer with what was."""
    channel = scene.join(answers=None, ready=False)
    scene.put()
    await scene.followers.agree()
    scene.followers.hear(channel.member, Ready())

    assert scene.killed == []
    assert [type(message) for message in channel.sent] == [Update, Update, Accept]


async def test_one_that_is_not_quiet_in_time_lives_on(scene):
    scene.join(answers=None)
    assert await scene.followers.quiet(0.01) == 0.0

    assert scene.killed == []


async def test_one_that_goes_away_is_not_waited_for(scene):
    channel = scene.join(answers=None)
    agreeing = asyncio.ensure_future(scene.followers.agree())
    await turn()
    scene.followers.leave(channel.member)
    await agreeing

    assert scene.killed == []


async def test_calls_in_flight_are_added_up(scene):
    scene.join([("m", 1, 2), ("n", 1, 1)])
    scene.join([("m", 1, 3)])

    assert await scene.followers.in_flight() == {("m", 1): 5, ("n", 1): 1}


async def test_records_are_the_leaders(scene):
    scene.followers.hear(scene.join().member, Records([RECORD, RECORD]))

    assert scene.records == [RECORD, RECORD]


async def test_accepting_is_known(scene):
    member = scene.join().member
    scene.followers.hear(member, Accepting())

    assert member.accepting.is_set()


async def test_a_version_is_woken_as_soon_as_it_can_be(scene):
    """While the leader starts, its lanes are there before whoever fills them."""
    woken = []
    version = scene.put()
    scene.followers.hear(scene.join().member, Wake("m", 1))
    assert woken == []

    version.lane.wake = lambda: woken.append(1)
    scene.registry.refresh()
    scene.registry.refresh()
    await turn()
    assert woken == [1]


async def test_a_version_with_a_replica_is_not_woken(scene):
    version, woken = scene.put(), []
    version.lane.wake = lambda: woken.append(1)
    version.lane.add(SimpleNamespace(address="unix:/a", token=""))
    scene.followers.hear(scene.join().member, Wake("m", 1))

    assert woken == []


@pytest.mark.parametrize("wake", [Wake("nix", 1), Wake("m", 9)])
async def test_what_is_gone_is_not_woken(scene, wake):
    scene.put()
    scene.followers.hear(scene.join().member, wake)

    assert not scene.followers._wanted


async def test_calls_that_a_replica_worked_for_count_as_use(scene):
    used = []
    scene.followers.used = lambda *key: used.append(key)
    hit = CallRecord("m", 1, 200, "ok", 1, 0, 0.0, 0.0, 0.001, "hit")
    scene.followers.hear(scene.join().member, Records([RECORD, hit, hit]))

    assert used == [("m", 1)]


async def test_all_hear_that_calls_wait_in_vain(scene):
    channel = scene.join()
    scene.followers.disappoint("m", 1, InsufficientMemory("No room.", hint="Stop one.", details={"a": 1}))

    assert channel.sent[-1] == Disappoint("m", 1, "insufficient_memory", "No room.", "Stop one.", {"a": 1})


async def test_all_are_told_to_drain(scene):
    channels = [scene.join(), scene.join()]
    scene.followers.drain()

    assert [channel.sent[-1] for channel in channels] == [Drain(), Drain()]
