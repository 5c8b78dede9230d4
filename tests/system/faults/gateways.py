"""The gateway itself: killed, told to end while much is under way, and with a clock that jumps."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress

import attrs
import httpx

from prism_core.errors import PrismError
from tests.system.faults.load import Load, loading
from tests.system.faults.replicas import RATE, ROW_S
from tests.system.faults.scene import Seen, scenes, told
from tests.system.faults.stage import Server, Stage, until

# What was sent so long before a signal has been accepted by then, on any machine.
BEFORE_S = 0.1
# What a client sees of a server that is not there any more.
GONE = {"closed", "ConnectionResetError", "ConnectionRefusedError"}
DRAIN_S = 4.0
CONFIG = f"limits: {{drain_s: {DRAIN_S}}}"


# --- killed -------------------------------------------------------------------------------


@attrs.define
class Owner:
    """Changes a model without a pause, and remembers what has been acknowledged.

    ``versions`` are numbers, ``alias`` is where ``champion`` points; ``asked`` is the change
    that is under way, and may have happened or not.
    """

    server: Server
    stage: Stage
    versions: list[int] = attrs.field(factory=list)
    alias: int = 0
    asked: int = 0

    def run(self) -> None:
        """Change until the server is gone."""
        with suppress(PrismError, httpx.HTTPError):
            for number in range(2, 100):
                self.asked = number
                self.server.send(self.stage.faulty("owned", factor=number), name="owned")
                self.versions.append(number)
                self.server.call("PUT", "/models/owned/aliases/champion", body={"version": number})
                self.alias = number

    def check(self) -> str:
        """Fail if something of that is not there; return what there is in words."""
        model = self.server.model("owned")
        versions = [one["version"] for one in model["versions"]]
        assert set(self.versions) <= set(versions) <= {1, *self.versions, self.asked}, (self, versions)
        assert model["aliases"].get("champion", 0) in {self.alias, self.asked}, (self, model["aliases"])
        return f"{len(self.versions)} uploads and an alias that had been acknowledged are there"


async def kill_the_gateway(stage: Stage) -> Seen:
    with stage.serving() as server:
        server.send(stage.faulty("owned", factor=1), name="owned")
        url = server.send(stage.faulty("served", factor=2))
        owner = Owner(server, stage)
        changing = threading.Thread(target=owner.run)
        changing.start()
        async with loading(url, 2) as load:
            load.begin(100)
            await until(lambda: len(owner.versions) >= 3)
            orphans = server.processes()[1:]
            server.kill()
            killed = time.monotonic()
            await asyncio.sleep(0.1)
            await load.end()
            changing.join()
            assert set(load.outcomes()) - {"200"} <= {
                "closed",
                "ConnectionResetError",
                "ConnectionRefusedError",
            }
            await until(lambda: not any(map(alive, orphans)), 5)
            ended_s = time.monotonic() - killed
            begun = time.monotonic()
            server.start()
        async with loading(f"{server.url}/model/served/predict", 2) as load:
            assert (await load.answer()).right, load.outcomes()
            healthy_s = time.monotonic() - begun
        there = owner.check()
        return Seen(
            "its connection ends", f"what was in flight; {there}; replicas end in {ended_s:.1f} s", healthy_s
        )


def alive(process) -> bool:
    """Return whether a process is there, and no zombie."""
    return process.is_running() and process.status() != "zombie"


# --- told to end --------------------------------------------------------------------------


async def ended(load: Load, server: Server) -> tuple[float, str]:
    """Tell a server under load to end; fail if it loses what it had accepted; return how long it took."""
    moment = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(server.process.wait, 30)
    seconds = time.monotonic() - moment
    await load.end()
    accepted = [fate for fate in load.fates if fate.asked < moment - BEFORE_S]
    assert all(fate.right for fate in accepted), load.outcomes()
    late = load.outcomes(moment - BEFORE_S)
    assert not any(what.startswith(("500", "502", "504", "200 wrong")) for what in late), late
    assert code == 0, server.log.read_text()
    return seconds, f"{len(accepted):,} accepted before: 200; later: {told(late) or 'none'}"


async def terminate(stage: Stage) -> Seen:
    with stage.serving(config=CONFIG) as server:
        url = server.send(stage.faulty("slow", factor=2, row_s=ROW_S), batching={"max_batch_rows": 1})
        async with loading(url, 2) as load:
            load.begin(RATE)
            await asyncio.sleep(0.4)
            seconds, seen = await ended(load, server)
    assert seconds < DRAIN_S
    return Seen(f"{seen}; it ended after {seconds:.1f} s")


async def terminate_while_restarting(stage: Stage) -> Seen:
    """Calls that wait for the next replica have been accepted too."""
    with stage.serving(config=CONFIG) as server:
        url = server.send(stage.faulty("again", factor=2, load_s=0.7))
        (pid,) = server.pids("again")
        async with loading(url, 2) as load:
            load.begin(200)
            await asyncio.sleep(0.2)
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.3)
            seconds, seen = await ended(load, server)
    assert seconds < DRAIN_S
    return Seen(f"{seen}; it ended after {seconds:.1f} s")


async def terminate_two_gateways(stage: Stage) -> Seen:
    with stage.serving("--gateways", "2", config=CONFIG) as server:
        url = server.send(stage.faulty("shared", factor=2, row_s=ROW_S), batching={"max_batch_rows": 1})
        processes = server.processes()
        async with loading(url, 2) as load:
            load.begin(RATE)
            await asyncio.sleep(0.4)
            seconds, seen = await ended(load, server)
        await until(lambda: not any(map(alive, processes)), 5)
    assert seconds < DRAIN_S + 1
    return Seen(f"{seen}; all ended after {seconds:.1f} s")


async def terminate_while_hanging(stage: Stage) -> Seen:
    """What no replica answers is told so when the grace time is over, and nothing waits twice."""
    with stage.serving(config="limits: {drain_s: 1}") as server:
        url = server.send(stage.faulty("hung", factor=2))
        (pid,) = server.pids("hung")
        async with loading(url, 2) as load:
            os.kill(pid, signal.SIGSTOP)
            fate = load.ask()
            await asyncio.sleep(BEFORE_S)
            moment = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.process.wait, 30)
            seconds = time.monotonic() - moment
            await load.end()
    assert (fate.status, fate.why) == (503, "overloaded"), load.outcomes()
    assert seconds < 3
    return Seen(f"503 with `Retry-After` after the grace time of 1 s; it ended after {seconds:.1f} s")


async def terminate_while_uploading(stage: Stage) -> Seen:
    """Half of an upload has come: the rest is still taken, and what is acknowledged is there."""
    with stage.serving(config=CONFIG) as server:
        server.send(stage.faulty("first", factor=2))
        half, going_on = threading.Event(), threading.Event()
        path = stage.faulty("second", factor=3)

        def upload() -> str:
            def body():
                data = path.read_bytes()
                yield data[:5]
                half.set()
                going_on.wait(10)
                yield data[5:]

            token = (server.data_dir / "admin-token").read_text().strip()
            answer = httpx.post(
                f"{server.facts['admin']}/admin/v1/upload",
                params={"spec": '{"filename": "second.faulty"}'},
                headers={"Authorization": f"Bearer {token}"},
                content=body(),
                timeout=30,
            )
            return answer.text.splitlines()[-1]

        uploading = asyncio.create_task(asyncio.to_thread(upload))
        await until(half.is_set)
        moment = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(BEFORE_S)
        going_on.set()
        last_line = await uploading
        assert '"done"' in last_line, last_line
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        seconds = time.monotonic() - moment
        server.stop()
        server.start()
        assert server.model("second")["aliases"]["latest"] == 1
    assert seconds < DRAIN_S
    return Seen(f"the upload is finished and acknowledged, and there after the next start; {seconds:.1f} s")


SCENES = scenes(
    ("`kill -9` of the gateway", kill_the_gateway, "slow"),
    ("SIGTERM under load", terminate),
    ("SIGTERM while a replica is restarted", terminate_while_restarting, "slow"),
    ("SIGTERM with two gateways", terminate_two_gateways, "slow"),
    ("SIGTERM while a replica hangs", terminate_while_hanging, "slow"),
    ("SIGTERM during an upload", terminate_while_uploading, "slow"),
)
