"""Loading and unloading: nothing is lost or loaded twice, budgets hold. Real sockets, toy replicas."""

from __future__ import annotations

import asyncio
import random
import time

import msgspec
import pytest

from prism_core.errors import InsufficientMemory, InvalidParameter, ModelLoadFailed, StillLoading
from prism_core.gateway import housekeeping, pattern
from prism_core.gateway.prediction import Head
from prism_core.settings import MemorySettings
from tests.integration import gateway_toys
from tests.integration.gateway_toys import ToyLauncher, predict, toy_gateway, until, upload


@pytest.fixture
def launcher():
    return ToyLauncher()


@pytest.fixture
async def gateway(tmp_path, launcher):
    async with toy_gateway(tmp_path / "data", launcher) as opened:
        yield opened


def crew_of(gateway, model="m", version=1):
    return gateway.operator.supervisor.crews[model, version]


def loaded(gateway) -> set[str]:
    return {info.model for info in gateway.models() if info.versions[0].loaded}


async def unload(gateway, model="m"):
    await gateway.operator.loads.unload([crew_of(gateway, model)], "test")


async def ask(gateway, reference, value, head=None):
    head = head or Head("application/json")
    answer = await gateway.service.lane(reference).predict(head, msgspec.json.encode([value]))
    return msgspec.json.decode(bytes(answer.body))


# --- unload and wake -----------------------------------------------------------------------------


async def test_an_unloaded_version_is_ready_and_its_next_call_loads_it(gateway, launcher):
    await upload(gateway, "2")
    await unload(gateway)
    unloaded = gateway.version("m")

    assert (unloaded.state, unloaded.loaded, unloaded.replicas) == ("READY", False, [])
    assert launcher.running["m-1-0"].task.done()
    assert await predict(gateway, "m", 1) == [2]
    assert gateway.version("m").loaded


async def test_calls_that_come_together_load_it_once(gateway, launcher):
    await upload(gateway, "2")
    await unload(gateway)

    assert await asyncio.gather(*(predict(gateway, "m", n) for n in range(20))) == [
        [2.0 * n] for n in range(20)
    ]
    assert launcher.starts == ["m-1-0"] * 2


async def test_a_load_that_takes_longer_than_a_call_may_wait_is_finished_for_the_next(gateway, launcher):
    await upload(gateway, "2")
    await unload(gateway)
    launcher.gate.clear()
    with pytest.raises(StillLoading):
        await ask(gateway, "m", 1, Head("application/json", hold_s=0.01))
    launcher.gate.set()

    assert await predict(gateway, "m", 1) == [2]
    assert len(launcher.starts) == 2


async def test_a_version_that_does_not_load_any_more_fails_and_says_why(gateway, launcher, monkeypatch):
    await upload(gateway, "2")
    await unload(gateway)

    def load(artifact, options):
        raise ModelLoadFailed("It is not a number.")

    monkeypatch.setattr(gateway_toys, "load", load)
    with pytest.raises(Exception, match="in vain"):
        await predict(gateway, "m", 1)
    assert (gateway.version("m").state, gateway.version("m").error) == ("FAILED", "It is not a number.")


async def test_a_version_can_be_stopped_while_it_is_unloaded_and_while_it_loads(gateway, launcher):
    await upload(gateway, "2")
    await unload(gateway)
    await gateway.stop("m")
    await gateway.start("m")
    await unload(gateway)
    launcher.gate.clear()
    asking = asyncio.ensure_future(predict(gateway, "m", 1))
    await until(lambda: len(launcher.starts) == 3)
    stopping = asyncio.ensure_future(gateway.stop("m"))
    with pytest.raises(Exception, match="being stopped"):
        await asking
    launcher.gate.set()
    await stopping

    assert gateway.version("m").state == "STOPPED"
    assert all(one.task.done() for one in launcher.running.values())


async def test_whatever_has_work_in_flight_is_not_unloaded(gateway, launcher):
    await upload(gateway, "2")
    for transport in launcher.running["m-1-0"].service.connections:
        transport.pause_reading()
    asking = asyncio.ensure_future(predict(gateway, "m", 1))
    await until(lambda: crew_of(gateway).busy)
    await unload(gateway)
    for transport in launcher.running["m-1-0"].service.connections:
        transport.resume_reading()

    assert await asking == [2]
    assert launcher.starts == ["m-1-0"]


@pytest.mark.parametrize("seed", range(5))
async def test_no_call_is_lost_while_versions_are_unloaded_at_random(gateway, launcher, seed):
    """Whatever the moment at which an unloading begins, every call is answered, and rightly."""
    chance = random.Random(seed)
    names = {f"m{n}": n for n in range(2, 5)}
    for name, factor in names.items():
        await upload(gateway, str(factor), name=name)
    ended = asyncio.Event()

    async def call(number):
        name = chance.choice(list(names))
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        return await predict(gateway, name, number) == [names[name] * number]

    async def disturb():
        while not ended.is_set():
            await unload(gateway, chance.choice(list(names)))
            await asyncio.sleep(chance.choice((0, 0, 0.001)))

    disturbing = asyncio.ensure_future(disturb())
    answers = [await asyncio.gather(*(call(n) for n in range(chance.randrange(1, 6)))) for _ in range(60)]
    ended.set()
    await disturbing

    assert all(all(some) for some in answers)
    assert len(launcher.starts) > len(names)


# --- when -----------------------------------------------------------------------------------------


async def test_a_version_that_nobody_uses_is_unloaded_and_a_pinned_one_stays(gateway):
    await upload(gateway, "2", name="idle", idle_unload_s=0.05)
    await upload(gateway, "2", name="pinned", idle_unload_s=0.05, pin=True)
    await upload(gateway, "2", name="other")
    await until(lambda: "idle" not in loaded(gateway))

    assert loaded(gateway) == {"pinned", "other"}
    assert await predict(gateway, "idle", 3) == [6]


async def test_the_server_tells_after_how_long_all_versions_are_unloaded(tmp_path):
    async with toy_gateway(tmp_path, memory=MemorySettings(idle_unload_s=0.05)) as gateway:
        await upload(gateway, "2", name="a")
        await upload(gateway, "2", name="b", idle_unload_s=0.0)
        await until(lambda: loaded(gateway) == {"b"})


async def test_what_was_unloaded_and_used_is_told(gateway):
    await upload(gateway, "2")
    before = gateway.version("m").last_used
    await predict(gateway, "m", 1)
    await unload(gateway)
    await gateway.events.settle()
    events = [event.name for event in await gateway.operator.records.events()]

    assert before is None
    assert gateway.version("m").last_used == pytest.approx(time.time(), abs=60)
    assert events[-1] == "model.unloaded"


async def test_use_survives_a_restart(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher) as gateway:
        await upload(gateway, "2", memory_estimate_bytes=5)
        await predict(gateway, "m", 1)
    async with toy_gateway(tmp_path, launcher) as gateway:
        await gateway.settled.wait()
        use = gateway.registry.version("m").use

        assert (use.own_bytes, use.last) == (1000, pytest.approx(time.time(), abs=60))
        assert gateway.version("m").last_used == use.last


# --- budgets --------------------------------------------------------------------------------------


async def test_a_load_beyond_the_hard_limit_unloads_what_is_worth_least(tmp_path):
    async with toy_gateway(tmp_path, memory=MemorySettings(hard_limit=2500)) as gateway:
        await upload(gateway, "2", name="often", memory_estimate_bytes=1000)
        await upload(gateway, "3", name="seldom", memory_estimate_bytes=1000)
        for n in range(5):
            await predict(gateway, "often", n)
        for name in ("often", "seldom"):  # as measured, they depend on what else the machine does
            crew_of(gateway, name).use.load_s = 1.0
        await upload(gateway, "4", name="new", memory_estimate_bytes=1000)

        assert loaded(gateway) == {"often", "new"}
        assert await predict(gateway, "seldom", 1) == [3]
        assert len(loaded(gateway)) == 2


async def test_when_nothing_can_go_the_error_lists_what_holds_the_memory(tmp_path, monkeypatch):
    async with toy_gateway(tmp_path, memory=MemorySettings(hard_limit=1500)) as gateway:
        await upload(gateway, "2", name="pinned", memory_estimate_bytes=1000, pin=True)
        with pytest.raises(InsufficientMemory, match=r"pinned/1 0 MB \(pinned\)") as caught:
            await upload(gateway, "3", name="other", memory_estimate_bytes=501)

    assert caught.value.status == 507
    assert caught.value.details["holders"] == [
        {"version": "pinned/1", "bytes": 1000, "busy": False, "pinned": True}
    ]


async def test_a_call_that_finds_no_memory_is_told_and_the_version_stays_ready(tmp_path):
    async with toy_gateway(tmp_path, memory=MemorySettings(hard_limit=1500)) as gateway:
        await upload(gateway, "3", name="other", memory_estimate_bytes=1000)
        await upload(gateway, "2", name="pinned", memory_estimate_bytes=1000, pin=True)
        with pytest.raises(InsufficientMemory):
            await predict(gateway, "other", 1)
        await gateway.stop("pinned")

        assert gateway.version("other").state == "READY"
        assert await predict(gateway, "other", 1) == [3]


async def test_what_is_busy_is_waited_for_before_memory_is_refused(tmp_path, launcher):
    async with toy_gateway(tmp_path, launcher, memory=MemorySettings(hard_limit=1500)) as gateway:
        await upload(gateway, "2", name="busy", memory_estimate_bytes=1000)
        connections = launcher.running["busy-1-0"].service.connections
        for transport in connections:
            transport.pause_reading()
        asking = asyncio.ensure_future(predict(gateway, "busy", 1))
        await until(lambda: crew_of(gateway, "busy").busy)
        uploading = asyncio.ensure_future(upload(gateway, "3", name="next", memory_estimate_bytes=1000))
        await asyncio.sleep(0.05)
        for transport in connections:
            transport.resume_reading()
        await uploading

        assert await asking == [2]
        assert loaded(gateway) == {"next"}


async def test_the_soft_limit_is_kept_in_the_background(tmp_path):
    async with toy_gateway(tmp_path, memory=MemorySettings(soft_limit=2500)) as gateway:
        for name in "abcd":
            await upload(gateway, "2", name=name)
        await until(lambda: len(loaded(gateway)) == 2)
        answers = [await predict(gateway, name, 1) for name in "abcd"]
        await until(lambda: len(loaded(gateway)) == 2)

    assert answers == [[2]] * 4


async def test_a_restart_preloads_no_more_than_fits(tmp_path, launcher):
    async with toy_gateway(tmp_path) as gateway:
        for name in "abcd":
            await upload(gateway, "2", name=name)
    async with toy_gateway(tmp_path, launcher, memory=MemorySettings(soft_limit=2500)) as gateway:
        await gateway.settled.wait()

        assert len(launcher.starts) == 2
        assert {info.versions[0].state for info in gateway.models()} == {"READY"}


@pytest.mark.parametrize(
    "bounds", [{"replicas": 3, "max_replicas": 2}, {"min_replicas": 2, "max_replicas": 1}]
)
async def test_bounds_with_nothing_between_them_are_refused(gateway, bounds):
    with pytest.raises(InvalidParameter, match="replicas are what there are at least"):
        await upload(gateway, "2", **bounds)


# --- replicas -------------------------------------------------------------------------------------


async def test_replicas_follow_the_load(gateway, launcher, monkeypatch):
    monkeypatch.setattr("prism_core.gateway.gauge.cores", lambda: 8)
    monkeypatch.setattr(housekeeping, "SCALE_S", 0.02)
    await upload(gateway, "2", max_replicas=3)
    calls = gateway.metrics.calls
    gateway.metrics.flush()
    crew = crew_of(gateway)
    await predict(gateway, "m", 1)
    await until(lambda: calls.versions.get(("m", 1)))
    seen = calls.versions["m", 1]

    def busy():
        """As if calls had come since the last look that keep two replicas busy."""
        seen.computed += 100
        seen.busy_s += 100.0
        return len(crew.ready) == 3

    await until(busy)
    assert len(crew.lane.clients) == 3
    assert await predict(gateway, "m", 1) == [2]
    await until(lambda: len(crew.ready) == 1)
    assert await predict(gateway, "m", 1) == [2]
    assert [one.name for one in crew.replicas] == ["m-1-0"]


# --- foresight ------------------------------------------------------------------------------------


async def test_a_model_is_loaded_shortly_before_the_hour_in_which_it_is_used(tmp_path, launcher, monkeypatch):
    monkeypatch.setattr(pattern, "LEAD_S", 3600.0)
    slot = pattern.slot_at(time.time() + 3600)
    settings = MemorySettings(predictive_preload=True)
    async with toy_gateway(tmp_path) as gateway:
        for name in ("habit", "once"):
            await upload(gateway, "2", name=name, preload=False)
        records = gateway.operator.records
        await records.add_habits([("habit", slot.hour, slot.week - n, 5) for n in (1, 2)], 0)
        await records.add_habits([("once", slot.hour, slot.week - 1, 500)], 0)
    monkeypatch.setattr(housekeeping, "TICK_S", 0.02)
    async with toy_gateway(tmp_path, launcher, memory=settings) as gateway:
        await until(lambda: "habit" in loaded(gateway))

    assert launcher.starts == ["habit-1-0"]


async def test_calls_are_written_down_by_hour_of_the_week(tmp_path):
    async with toy_gateway(tmp_path) as gateway:
        await upload(gateway, "2")
        await predict(gateway, "m", 1)
        slot = pattern.slot_at(time.time())
    async with toy_gateway(tmp_path) as gateway:
        assert await gateway.operator.records.habits(slot.hour) == [("m", slot.week)]
