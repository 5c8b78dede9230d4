"""The registry's rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import attrs
import pytest

from prism_core.errors import ConfigError
from prism_core.gateway.records import KEPT_EVENTS, MIGRATIONS, VersionRow, migrate, open_records
from prism_core.gateway.traffic.changes import Change, Ways
from prism_core.protocols import ReplicaHandle
from prism_core.specs import ModelEvent
from tests.unit.gateway.conftest import SIGNATURE, manifest_of

MEMORY = Path(":memory:")


@pytest.fixture
async def records():
    async with open_records(MEMORY) as opened:
        yield opened


def row(version=1, **facts):
    return VersionRow(manifest_of(version=version, **facts), SIGNATURE)


def change(before, after, model="churn"):
    return Change(0.0, model, "admin", "route.set", before, after)


async def test_what_is_published_is_read_again(tmp_path):
    published = row(options={"depth": 3}, warnings=("old",))
    async with open_records(tmp_path / "prism.db") as records:
        await records.publish(published, ["champion"])

    async with open_records(tmp_path / "prism.db") as records:
        (model,) = await records.models()

    assert model.versions == (published,)
    assert (model.aliases, model.last_version, model.ceiling) == ({"champion": 1}, 1, None)


async def test_a_number_is_remembered_after_its_version_is_gone(records):
    await records.publish(row(1))
    await records.publish(row(2))
    await records.remove("churn", [2], whole=False)

    (model,) = await records.models()

    assert [v.manifest.version for v in model.versions] == [1]
    assert model.last_version == 2


async def test_removing_the_whole_model_leaves_nothing(records):
    await records.publish(row(1), ["champion"])
    await records.remove("churn", [1], whole=True)

    assert await records.models() == []


async def test_publishing_ends_a_rollback(records):
    await records.publish(row(1))
    await records.change(change(Ways(), Ways(ceiling=1)))
    assert (await records.models())[0].ceiling == 1

    await records.publish(row(2))

    assert (await records.models())[0].ceiling is None


async def test_wanted_and_aliases_are_kept(records):
    await records.publish(row(1))
    await records.set_wanted("churn", [1], False)
    await records.change(change(Ways(), Ways(aliases={"a": 1, "b": 1})))
    await records.change(change(Ways(aliases={"a": 1, "b": 1}), Ways(aliases={"b": 1})))

    (model,) = await records.models()

    assert (model.versions[0].wanted, model.aliases) == (False, {"b": 1})


async def test_a_version_is_written_once(records):
    await records.publish(row(1))

    with pytest.raises(sqlite3.IntegrityError):
        await records.publish(attrs.evolve(row(1), wanted=False), ["champion"])

    (model,) = await records.models()
    assert (model.versions[0].wanted, model.aliases) == (True, {})


async def test_running_replicas_are_remembered(records):
    handle = ReplicaHandle("churn-1-0", "process", 123, 4.5, "unix:/x")
    await records.replica_started(handle)
    await records.replica_started(attrs.evolve(handle, pid=124))

    assert await records.replicas() == [attrs.evolve(handle, pid=124)]
    await records.replica_gone("churn-1-0")
    assert await records.replicas() == []


async def test_events_come_back_in_order_and_old_ones_go(records, monkeypatch):
    monkeypatch.setattr("prism_core.gateway.records.KEPT_EVENTS", 3)
    for number in range(5):
        await records.add_event(ModelEvent("model.ready", "churn", number, 1.5, {"ms": number}))

    events = await records.events()

    assert [e.version for e in events] == [2, 3, 4]
    assert events[-1] == ModelEvent("model.ready", "churn", 4, 1.5, {"ms": 4})
    assert KEPT_EVENTS > 1000


async def test_a_newer_database_is_left_alone(tmp_path):
    path = tmp_path / "prism.db"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 999")
    connection.close()

    with pytest.raises(ConfigError, match="999"):
        async with open_records(path):
            pass


def test_a_migration_begins_where_the_last_one_ended():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, MIGRATIONS)
    migrate(connection, (*MIGRATIONS, ("create table extra (a text)", "insert into extra values ('x')")))
    migrate(connection, (*MIGRATIONS, ("create table extra (a text)", "insert into extra values ('x')")))

    assert connection.execute("select a from extra").fetchall() == [("x",)]
    assert connection.execute("pragma user_version").fetchone() == (len(MIGRATIONS) + 1,)
    connection.close()
