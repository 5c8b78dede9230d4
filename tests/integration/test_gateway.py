"""A gateway and its replicas: lost, restarted, hung, too large, brought back. Real sockets, toy replicas."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from contextlib import asynccontextmanager

import msgspec
import psutil
import pytest

from prism_core.errors import (
    ConfigError,
    IllegalTransition,
    ModelLoadFailed,
    ModelNotFound,
    ServingError,
)
from prism_core.gateway import crew, supervisor
from prism_core.gateway.records import open_records
from prism_core.gateway.supervisor import end_process
from prism_core.protocols import PublicListener, ReplicaHandle
from prism_core.settings import ModelCacheSettings, ModelSettings
from tests.integration.gateway_toys import ToyLauncher, predict, toy_gateway, until, upload


@pytest.fixture
def launcher():
    return ToyLauncher()


@pytest.fixture
async def gateway(tmp_path, launcher):
    async with toy_gateway(tmp_path / "data", launcher) as opened:
        yield opened


def state(gateway, version=None):
    return gateway.version("m", version).state


@asynccontextmanager
async def names_told(gateway):
    """Collect the names of events."""
    names = []
    await gateway.events.settle()

    async def listen():
        async for event in gateway.events.subscribe():
            names.extend([event.name])

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    yield names
    await gateway.events.settle()
    task.cancel()


# --- one version after another -------------------------------------------------------------------


async def test_rollback_is_instant_and_old_versions_stay_addressable(gateway, launcher):
    await upload(gateway, "2")
    await upload(gateway, "3")
    starts = len(launcher.starts)

    assert (await gateway.rollback("m")).version == 1

    assert await predict(gateway, "m", 1) == [2]
    assert await predict(gateway, "m/2", 1) == [3]
    assert len(launcher.starts) == starts


async def test_a_version_s_answers_are_freed_when_an_alias_leaves_it_and_when_it_stops(tmp_path):
    async with toy_gateway(tmp_path, cached=True) as gateway:
        await upload(gateway, "2")
        assert await predict(gateway, "m", 1) == [2]
        first = gateway.registry.lanes["m"].cache.kept
        assert len(first) == 1
        await upload(gateway, "3")
        assert len(first) == 0

        assert await predict(gateway, "m", 1) == [3]
        second = gateway.registry.lanes["m"].cache.kept
        assert len(second) == 1
        await gateway.stop("m", 2)
        assert len(second) == 0


async def test_the_cache_of_a_model_is_set_by_its_name_also_where_it_was_uploaded(tmp_path):
    models = {"m": ModelSettings(cache=ModelCacheSettings(enabled=False))}
    async with toy_gateway(tmp_path, cached=True, models=models) as gateway:
        await upload(gateway, "2")
        await upload(gateway, "2", name="other")
        answers = [await gateway.service.predict(name, b"[1]") for name in ("m", "m", "other", "other")]

    assert [answer.cache for answer in answers] == ["bypass", "bypass", "miss", "hit"]


async def test_requests_are_answered_throughout_an_upload(gateway):
    await upload(gateway, "2")
    stop = asyncio.Event()
    answers = []

    async def ask():
        while not stop.is_set():
            answers.append(await predict(gateway, "m", 1))
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    await upload(gateway, "3")
    await until(lambda: answers and answers[-1] == [3.0])
    stop.set()
    await asking

    assert sorted(answers) == answers


async def test_two_uploads_at_once_end_with_two_versions(gateway):
    infos = await asyncio.gather(*(upload(gateway, text) for text in ("2", "3", "4")))

    assert sorted(info.version for info in infos) == [1, 2, 3]
    assert len(gateway.model("m").versions) == 3


async def test_a_model_that_does_not_load_says_why_and_shows_its_log(gateway, tmp_path):
    with pytest.raises(ModelLoadFailed, match="not a number") as caught:
        await upload(gateway, "bad")

    assert caught.value.details["step"] == "start"
    assert caught.value.details["log"] == ["hello from m-1-0"]
    assert (gateway.models(), os.listdir(tmp_path / "data/replicas")) == ([], [])


async def test_stop_start_and_remove(gateway, tmp_path):
    await upload(gateway, "2", alias="champion")
    await upload(gateway, "3")
    await gateway.stop("m")
    with pytest.raises(ModelNotFound, match="STOPPED"):
        await predict(gateway, "m", 1)

    await gateway.start("m")
    assert (await predict(gateway, "m", 1), await predict(gateway, "m@champion", 1)) == ([3], [2])
    await gateway.remove("m")
    assert (gateway.models(), list((tmp_path / "data/artifacts").iterdir())) == ([], [])


async def test_a_start_that_is_told_to_stop_is_broken_off(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2")
    launcher.gate.clear()

    async with toy_gateway(tmp_path, launcher) as gateway:
        await until(lambda: state(gateway) == "STARTING")
        waiting = asyncio.create_task(predict(gateway, "m", 1))
        await gateway.stop("m")

        assert (state(gateway), launcher.starts) == ("STOPPED", ["m-1-0", "m-1-0"])
        with pytest.raises(ServingError, match="in vain"):
            await waiting


@pytest.mark.parametrize("method", ["stop", "remove"])
async def test_an_upload_that_is_told_to_stop_is_undone(gateway, launcher, tmp_path, method):
    launcher.gate.clear()
    uploading = asyncio.create_task(upload(gateway, "2"))
    await until(lambda: launcher.starts)

    await getattr(gateway, method)("m")

    with pytest.raises(IllegalTransition, match="told to stop while it started"):
        await uploading
    assert gateway.models() == []
    assert (os.listdir(tmp_path / "data/artifacts"), os.listdir(tmp_path / "data/replicas")) == ([], [])


async def test_views_are_json(gateway):
    await gateway.publish(PublicListener("127.0.0.1", 80))
    await upload(gateway, "2")
    await upload(gateway, "3", options={"image": {"size": [8, 8]}}, replicas=2)

    shown = msgspec.json.decode(msgspec.json.encode(await gateway.show("m")))

    assert [r["memory_bytes"] for r in shown["replicas"]] == [1000, 1000]
    assert shown["url"] == "http://127.0.0.1:80/model/m/predict"
    assert gateway.version("m", 1).url == "http://127.0.0.1:80/model/m/versions/1/predict"
    assert msgspec.json.encode(gateway.models())


async def test_logs_of_all_replicas(gateway):
    await upload(gateway, "2", replicas=2)

    assert [line async for line in gateway.logs("m")] == ["hello from m-1-0", "hello from m-1-1"]


# --- replicas that are lost ------------------------------------------------------------------------


async def test_a_lost_replica_is_replaced_and_requests_wait(gateway, launcher):
    await upload(gateway, "2")
    async with names_told(gateway) as names:
        launcher.crash("m-1-0")
        assert await predict(gateway, "m", 1) == [2]
        await until(lambda: gateway.version("m").replicas[0]["restarts"] == 1)

    assert names == ["replica.lost", "replica.restarted"]
    assert "prism_replica_restarts_total" in gateway.metrics.scrape()[0].decode()


async def test_the_other_replica_answers_meanwhile(gateway, launcher):
    await upload(gateway, "2", replicas=2)
    launcher.refuse = True
    launcher.crash("m-1-0")
    await until(lambda: gateway.version("m").replicas[0]["state"] != "READY")

    assert await predict(gateway, "m", 1) == [2]
    assert (state(gateway), gateway.version("m").replicas[1]["state"]) == ("READY", "READY")


async def test_a_version_that_cannot_be_kept_alive_is_failed_and_can_be_started(
    gateway, launcher, monkeypatch
):
    monkeypatch.setattr(crew.random, "random", lambda: -0.5)  # every wait becomes 0
    await upload(gateway, "2")
    launcher.refuse = True
    launcher.crash("m-1-0")
    await until(lambda: state(gateway) == "FAILED")

    assert "died 9 times in a row" in gateway.version("m").error
    assert "no more room" in gateway.version("m").error
    with pytest.raises(ServingError, match="FAILED"):
        await predict(gateway, "m", 1)
    launcher.refuse = False
    await gateway.start("m")
    assert await predict(gateway, "m", 1) == [2]


async def test_latest_falls_back_to_the_version_that_still_serves(gateway, launcher, monkeypatch):
    monkeypatch.setattr(crew.random, "random", lambda: -0.5)
    await upload(gateway, "2")
    await upload(gateway, "3")
    launcher.refuse = True
    launcher.crash("m-2-0")
    await until(lambda: state(gateway, 2) == "FAILED")

    assert await predict(gateway, "m", 1) == [2]


async def test_a_replica_that_hangs_is_replaced(gateway, launcher):
    info = await upload(gateway, "2")
    replica = gateway.operator.supervisor.crews["m", info.version].replicas[0]
    running = launcher.running["m-1-0"]
    for transport in running.service.connections:
        transport.pause_reading()  # as a process that is stuck: connected, and deaf
    asking = asyncio.create_task(predict(gateway, "m", 1))
    await until(lambda: replica.client and replica.client.in_flight)

    gateway.operator.supervisor.hang_s = 0.05
    gateway.operator.supervisor._ping_busy()

    assert await asking == [2]
    assert replica.restarts == 1


async def test_a_replica_beyond_its_memory_limit_is_replaced(tmp_path, launcher, monkeypatch):
    monkeypatch.setattr(supervisor, "MEASURE_S", 0.02)
    monkeypatch.setattr(supervisor, "TICK_S", 0.02)
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2", memory_limit_bytes=5000)
        async with names_told(gateway) as names:
            launcher.memory = 5001
            await until(lambda: "replica.lost" in names)
            launcher.memory = 1000
            assert await predict(gateway, "m", 1) == [2]
        events = await gateway.operator.records.events()

    lost = next(event for event in events if event.name == "replica.lost")
    assert lost.facts["reason"] == "it used 5001 bytes of memory, its limit is 5000"


async def test_a_replica_that_dies_before_it_accepts_is_heard(tmp_path):
    class Stillborn(ToyLauncher):
        async def start(self, spec, listener):
            (spec.directory / "log").write_text("libfoo.so: not found\n")
            return ReplicaHandle(spec.replica, "toy", 0, 0.0, "")

        async def wait(self, handle):
            return 127

    async with toy_gateway(tmp_path, Stillborn()) as gateway:
        async with asyncio.timeout(5):
            with pytest.raises(crew.LaunchFailed, match="exit code 127") as caught:
                await upload(gateway, "2")

    assert caught.value.details["log"] == ["libfoo.so: not found"]


async def test_a_backend_that_knows_why_a_replica_ended_is_believed(tmp_path):
    class Telling(ToyLauncher):
        def reason(self, handle):
            return f"{handle.replica} ran out of memory"

    launcher = Telling()
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2")
        async with names_told(gateway) as names:
            launcher.crash("m-1-0")
            await until(lambda: "replica.lost" in names)
        events = await gateway.operator.records.events()

    lost = next(event for event in events if event.name == "replica.lost")
    assert lost.facts["reason"] == "it ended with signal 9: m-1-0 ran out of memory"


# --- a gateway after another ---------------------------------------------------------------------------


async def test_what_was_served_comes_back_and_requests_wait_for_it(tmp_path, launcher):
    async with toy_gateway(tmp_path) as gateway:
        await upload(gateway, "2", alias="champion")
        await upload(gateway, "3")
        await gateway.rollback("m")
        await gateway.stop("m", 2)

    async with toy_gateway(tmp_path, launcher) as gateway:
        assert await predict(gateway, "m@champion", 1) == [2]
        await gateway.settled.wait()
        assert [v.state for v in gateway.model("m").versions] == ["READY", "STOPPED"]
    assert launcher.starts == ["m-1-0"]


async def test_a_model_that_does_not_come_back_harms_no_other(tmp_path):
    async with toy_gateway(tmp_path) as gateway:
        await upload(gateway, "2", name="good")
        bad = await upload(gateway, "3", name="bad")
        path = gateway.operator.store.path(bad.digest)
    path.chmod(0o644)
    path.write_text("bad")

    async with toy_gateway(tmp_path) as gateway:
        await gateway.settled.wait()
        assert gateway.version("bad").state == "FAILED"
        assert "is damaged" in gateway.version("bad").error
        assert await predict(gateway, "good", 1) == [2]


async def test_models_of_the_settings_are_brought_up_once(tmp_path, launcher):
    (tmp_path / "two.toy").write_text("2")
    models = {"two": ModelSettings(str(tmp_path / "two.toy")), "gone": ModelSettings("nowhere.toy")}
    for _ in range(2):
        async with toy_gateway(tmp_path / "data", launcher, models=models) as gateway:
            await gateway.settled.wait()
            assert await predict(gateway, "two", 1) == [2]
            assert [v.version for v in gateway.model("two").versions] == [1]
            assert "nowhere.toy" in next(m.error for m in gateway.models() if m.model == "gone")


async def test_a_model_that_is_not_preloaded_starts_with_its_first_request(tmp_path, launcher):
    (tmp_path / "two.toy").write_text("2")
    models = {"two": ModelSettings(str(tmp_path / "two.toy"), preload=False)}
    async with toy_gateway(tmp_path / "data", models=models) as gateway:
        await gateway.settled.wait()

    async with toy_gateway(tmp_path / "data", launcher, models=models) as gateway:
        await gateway.settled.wait()
        assert (launcher.starts, gateway.version("two").state) == ([], "READY")
        assert not gateway.version("two").loaded
        assert await asyncio.gather(*(predict(gateway, "two", n) for n in (1, 2))) == [[2], [4]]
    assert launcher.starts == ["two-1-0"]


@pytest.fixture
def process():
    """A process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


async def test_leftovers_of_a_dead_gateway_are_ended_by_pid_and_start_time(tmp_path, process):
    began = psutil.Process(process.pid).create_time()
    async with open_records(tmp_path / "prism.db") as records:
        await records.replica_started(ReplicaHandle("m-1-0", "toy", process.pid, began, ""))

    async with toy_gateway(tmp_path) as gateway:
        assert not psutil.pid_exists(process.pid)
        assert await gateway.operator.records.replicas() == []


async def test_the_backend_of_leftovers_is_told_to_end_them(tmp_path, process):
    """What it started may be more than a process, and none that a user may signal."""
    told = []

    class Remembering(ToyLauncher):
        async def stop(self, handle, grace_s):
            told.append((handle.replica, grace_s))

    began = psutil.Process(process.pid).create_time()
    async with open_records(tmp_path / "prism.db") as records:
        await records.replica_started(ReplicaHandle("m-1-0", "toy", process.pid, began, ""))
        await records.replica_started(ReplicaHandle("m-1-1", "gone", 0, 0.0, ""))

    async with toy_gateway(tmp_path, Remembering()) as gateway:
        assert told == [("m-1-0", 0)]
        assert await gateway.operator.records.replicas() == []


def test_a_leftover_that_is_not_ours_to_signal_is_left_to_its_backend(process, monkeypatch):
    def refuse(self):
        raise psutil.AccessDenied(self.pid)

    began = psutil.Process(process.pid).create_time()
    monkeypatch.setattr(psutil.Process, "kill", refuse)

    assert end_process(process.pid, began) is False


def test_a_process_that_only_has_the_pid_is_left_alone(process):
    began = psutil.Process(process.pid).create_time()

    assert end_process(process.pid, began - 100) is False
    assert process.poll() is None
    assert end_process(process.pid, began) is True


async def test_one_data_directory_has_one_gateway(tmp_path, gateway):
    with pytest.raises(ConfigError, match="Another server"):
        async with toy_gateway(tmp_path / "data"):
            pass


async def test_the_admin_token_is_kept_and_private(tmp_path):
    tokens = set()
    for _ in range(2):
        async with toy_gateway(tmp_path) as gateway:
            tokens.add(gateway.token)
    path = tmp_path / "admin-token"

    assert tokens == {path.read_text()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) >= 32


async def test_at_the_end_nothing_is_left_running(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2", replicas=3)
        run = gateway.operator.run

    assert all(running.task.done() for running in launcher.running.values())
    assert not run.exists()
    assert sorted(p.name for p in (tmp_path / "artifacts").iterdir())


@pytest.mark.parametrize("hurry", [False, True])
async def test_who_is_in_a_hurry_does_not_wait_for_replicas(tmp_path, launcher, hurry):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2")
        if hurry:
            gateway.hurry()

    assert launcher.graces == [0 if hurry else 2]


async def test_hooks_hear_events_and_live_with_the_gateway(tmp_path):
    heard, life = [], []

    def prism_model_event(event):
        heard.append(event.name)

    @asynccontextmanager
    async def lifespan(gateway):
        life.append("in")
        yield
        life.append("out")

    def prism_lifespan(gateway):
        return lifespan(gateway)

    hooks = {"prism_model_event": prism_model_event, "prism_lifespan": prism_lifespan}
    async with toy_gateway(tmp_path, hooks=hooks) as gateway:
        await upload(gateway, "2")

    assert heard == ["model.stored", "model.starting", "model.ready", "alias.moved"]
    assert life == ["in", "out"]


async def test_calls_that_wait_for_a_replica_that_never_comes_are_told(gateway, launcher, monkeypatch):
    monkeypatch.setattr(crew.random, "random", lambda: -0.5)
    await upload(gateway, "2")
    launcher.refuse = True
    launcher.crash("m-1-0")
    await asyncio.sleep(0)

    with pytest.raises(ServingError, match="in vain") as caught:
        await predict(gateway, "m", 1)
    assert caught.value.status == 503
    assert "'m' version 1 died 9 times" in gateway.version("m").error  # what the owner is told
