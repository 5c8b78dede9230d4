"""Replicas and zygotes that die or hang, under load."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

from tests.system.faults.load import Load, loading
from tests.system.faults.scene import Seen, all_answered, scenes, told
from tests.system.faults.stage import Server, Stage, until

# A model that takes so long for a row serves 500 a second; the load is 70 % of that.
ROW_S, RATE = 0.002, 350.0


async def killed(load: Load, server: Server, name: str, victim: int, rate: float) -> float:
    """Kill a replica in the middle of a load; return the moment, when all is over."""
    load.begin(rate)
    await asyncio.sleep(0.3)
    os.kill(victim, signal.SIGKILL)
    moment = time.monotonic()
    await until(lambda: victim not in server.pids(name) and server.pids(name))
    await asyncio.sleep(0.3)
    await load.end()
    return moment


async def the_only_replica(stage: Stage) -> Seen:
    """A steady load at 70 % of what the model can, and nothing fails."""
    server = stage.common()
    url = server.send(stage.faulty("only", factor=2, row_s=ROW_S), batching={"max_batch_rows": 1})
    (pid,) = server.pids("only")
    async with loading(url, 2) as load:
        moment = await killed(load, server, "only", pid, RATE)
        return Seen(all_answered(load), healthy_s=load.resumed_s(moment))


async def one_of_two(stage: Stage) -> Seen:
    """A load that one replica can carry as well."""
    server = stage.common()
    url = server.send(stage.faulty("two", factor=3, row_s=ROW_S), replicas=2, batching={"max_batch_rows": 1})
    victim, _ = server.pids("two")
    async with loading(url, 3) as load:
        moment = await killed(load, server, "two", victim, RATE)
        return Seen(all_answered(load), healthy_s=load.resumed_s(moment))


async def at_capacity(stage: Stage) -> Seen:
    """What the issue demands, of a real model: all are answered, within a second.

    Tried again where they are not, up to four times: on a machine that has other things to do,
    a load of 70 % is soon one of 120 %.
    """
    server = stage.common()
    url = server.send(stage.line("real", 4))
    seen: list[tuple[Counter[str], float]] = []
    async with loading(url, 4, "Cache-Control: no-store") as load:
        while len(seen) < 4:
            load.fates.clear()
            rate = 0.7 * min([await load.capacity() for _ in range(2)])
            (pid,) = server.pids("real")
            moment = await killed(load, server, "real", pid, rate)
            seen.append((load.outcomes(), load.slowest_s()))
            if set(load.outcomes()) == {"200"} and load.slowest_s() <= 1.0:
                return Seen(f"at {rate:,.0f} a second {all_answered(load)}", healthy_s=load.resumed_s(moment))
    raise AssertionError(seen)


async def not_deterministic(stage: Stage) -> Seen:
    """What had been sent is lost; what had not been sent waits."""
    server = stage.common()
    model = stage.faulty("lots", factor=5, row_s=ROW_S, deterministic=False)
    url = server.send(model, batching={"max_batch_rows": 1})
    (pid,) = server.pids("lots")
    async with loading(url, 5) as load:
        moment = await killed(load, server, "lots", pid, RATE)
        outcomes = load.outcomes()
        assert set(outcomes) == {"200", "502 replica_lost"}, outcomes
        assert all(fate.asked < moment + 0.05 for fate in load.fates if fate.status == 502)
        lost = "what the replica had: it may not be asked twice"
        return Seen(told(outcomes), lost, load.resumed_s(moment))


async def hanging(stage: Stage) -> Seen:
    """SIGSTOP: calls meet their deadline, the replica is replaced, those that have time are answered."""
    with stage.serving(config="limits: {hang_s: 1.5}") as server:
        url = server.send(stage.faulty("stuck", factor=2))
        (pid,) = server.pids("stuck")
        async with loading(url, 2, "X-Prism-Timeout: 1") as hasty, loading(url, 2) as patient:
            await hasty.answer()
            os.kill(pid, signal.SIGSTOP)
            moment = time.monotonic()
            fates = [hasty.ask(), patient.ask()]
            await hasty.over(fates)
            await until(lambda: server.pids("stuck") not in ([], [pid]))
            await patient.answer()
            outcomes = Counter(hasty.outcomes(moment)) + patient.outcomes(moment)
            assert outcomes == {"504 deadline_exceeded": 1, "200": 2}, outcomes
            assert server.version("stuck")["replicas"][0]["last_loss"].startswith("it gave no sign of life")
            return Seen(
                "504 at its own deadline; who has more time is answered", healthy_s=patient.resumed_s(moment)
            )


async def the_zygote(stage: Stage) -> Seen:
    """Replicas go on, and the next one comes from a new zygote."""
    server = stage.common()
    url = server.send(stage.faulty("orphan", factor=7))
    before = server.zygotes()
    (pid,) = server.pids("orphan")
    async with loading(url, 7) as load:
        load.begin(200)
        for zygote in before:
            zygote.kill()
        await until(lambda: not server.zygotes())
        await load.over(load.fates[:])
        assert server.pids("orphan") == [pid]
        moment = await killed(load, server, "orphan", pid, 200)
        assert {one.pid for one in server.zygotes()}.isdisjoint(one.pid for one in before)
        return Seen(all_answered(load), healthy_s=load.resumed_s(moment))


SCENES = scenes(
    ("`kill -9` of the only replica", the_only_replica),
    ("`kill -9` of one of two replicas", one_of_two),
    ("`kill -9` of the only replica, at 70 % of capacity", at_capacity, "slow"),
    ("`kill -9` of a replica that is not deterministic", not_deterministic),
    ("a replica that hangs (`SIGSTOP`)", hanging, "slow"),
    ("`kill -9` of the zygote, then of a replica", the_zygote),
)
