"""The keys of a server: stored first, then valid, then told to followers; their use is written in batches."""

from __future__ import annotations

import json

import pytest

from prism_core.errors import KeyNotFound, Unauthorized
from prism_core.gateway.callers.keyring import Keyring
from prism_core.gateway.callers.keys import KeyWish
from prism_core.gateway.callers.mirrored import MirroredCallers
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.usage import Usage
from prism_core.gateway.channel import CallerUses, Keys, Spent
from tests.unit.gateway.callers.conftest import FakeFollowers


@pytest.fixture
def keyring(records, followers, audit, usage, clock):
    return Keyring(records, followers, audit, [], usage, clock)


async def opened_again(records, clock) -> Keyring:
    """Return the keyring that another start would have."""
    uses = await records.caller_uses()
    last = {caller: at for caller, at, _ in uses if at}
    tally = Tally({caller: spent for caller, _, spent in uses})
    followers = FakeFollowers()
    usage = Usage(records, followers, last, tally, clock)
    return Keyring(records, followers, None, await records.keys(), usage, clock)


def opens(table, text):
    try:
        table.of({"x-api-key": text})
    except Unauthorized:
        return False
    return True


async def test_a_key_is_valid_everywhere_when_it_is_returned(keyring, followers):
    shown, text = await keyring.create(KeyWish("ann", ("churn",), rate="5/s", quota=10, expires_s=60))

    assert keyring.list() == [shown]
    assert opens(keyring.table, text)
    assert opens(followers.mirror.table, text)
    assert followers.agreed == 1
    assert shown == {
        "id": text.split("_")[1],
        "name": "ann",
        "scopes": ("predict",),
        "models": ("churn",),
        "rate": "5/s",
        "quota": 10,
        "used": 0,
        "created": 1000.0,
        "expires": 1060.0,
        "expired": False,
        "last_used": None,
    }


async def test_a_revoked_key_is_gone_everywhere_and_for_good(keyring, followers, records, clock):
    (shown, text), (_, other) = [await keyring.create(KeyWish()) for _ in range(2)]
    await keyring.revoke(shown["id"])
    again = await opened_again(records, clock)

    for table in (keyring.table, followers.mirror.table, again.table):
        assert (opens(table, text), opens(table, other)) == (False, True)
    assert followers.agreed == 3


async def test_an_unknown_key_cannot_be_revoked(keyring):
    with pytest.raises(KeyNotFound):
        await keyring.revoke("ffffffff")


async def test_a_change_that_was_not_stored_is_not_valid(keyring, records, monkeypatch):
    async def full(*_):
        raise OSError("disk full")

    shown, text = await keyring.create(KeyWish())
    monkeypatch.setattr(records, "add_key", full)
    monkeypatch.setattr(records, "remove_key", full)
    with pytest.raises(OSError, match="disk full"):
        await keyring.create(KeyWish())
    with pytest.raises(OSError, match="disk full"):
        await keyring.revoke(shown["id"])

    assert opens(keyring.table, text)
    assert len(keyring.list()) == 1


async def test_use_is_known_at_once_and_written_later(keyring, usage, followers, records, clock):
    shown, text = await keyring.create(KeyWish())
    caller = f"key:{shown['id']}"
    for table, tally in ((keyring.table, usage.tally), (followers.mirror.table, followers.mirror.tally)):
        opens(table, text)
        tally.spend(caller, 2)
    clock.now += 3
    followers.report()

    (listed,) = keyring.list()
    assert (listed["used"], listed["last_used"]) == (4, 1003.0)
    assert await records.caller_uses() == []
    await usage.write()
    assert await records.caller_uses() == [(caller, 1003.0, 4)]
    await usage.write()
    assert await records.caller_uses() == [(caller, 1003.0, 4)]
    assert (await opened_again(records, clock)).list() == [listed]


async def test_followers_hear_of_quotas_that_others_used(keyring, usage, followers):
    shown, _ = await keyring.create(KeyWish())
    caller = f"key:{shown['id']}"
    usage.tally.spend(caller, 5)
    keyring.list()

    assert followers.told[-1] == Spent({caller: 5})
    assert followers.mirror.tally.spent(caller) == 5


async def test_a_new_follower_is_greeted_with_all_that_is_valid(keyring, usage, followers):
    shown, text = await keyring.create(KeyWish())
    usage.tally.spend(f"key:{shown['id']}", 5)
    mirror = MirroredCallers()
    for greeting in followers.greetings:
        mirror.hear(greeting())

    assert opens(mirror.table, text)
    assert mirror.tally.spent(f"key:{shown['id']}") == 5


async def test_what_a_follower_reports_late_brings_no_revoked_key_back(keyring, usage, followers, records):
    shown, _ = await keyring.create(KeyWish())
    await keyring.revoke(shown["id"])
    followers.heard(CallerUses([f"key:{shown['id']}"], {f"key:{shown['id']}": 3, "oidc:ann": 1}))
    await usage.write()

    assert await records.caller_uses() == [("oidc:ann", 0.0, 1)]


async def test_use_that_could_not_be_written_is_written_the_next_time(keyring, usage, records, monkeypatch):
    async def full(*_):
        raise OSError("disk full")

    shown, text = await keyring.create(KeyWish())
    opens(keyring.table, text)
    usage.tally.spend(f"key:{shown['id']}")
    with monkeypatch.context() as patch:
        patch.setattr(records, "add_caller_uses", full)
        with pytest.raises(OSError, match="disk full"):
            await usage.write()
    await usage.write()

    assert await records.caller_uses() == [(f"key:{shown['id']}", 1000.0, 1)]


def test_a_follower_knows_nobody_before_it_is_told():
    mirror = MirroredCallers()

    assert not opens(mirror.table, f"prism_{'0' * 8}_{'0' * 64}")
    assert mirror.uses() is None
    mirror.hear(Keys([]))
    assert mirror.uses() is None


async def test_what_is_done_with_keys_is_in_the_audit_log_without_their_secrets(keyring, tmp_path):
    shown, text = await keyring.create(KeyWish("ann", ("churn",)))
    await keyring.revoke(shown["id"])
    told = (tmp_path / "audit.jsonl").read_text()

    assert [json.loads(line)["action"] for line in told.splitlines()][-2:] == ["key.create", "key.revoke"]
    assert shown["id"] in told
    assert text.rpartition("_")[2] not in told
