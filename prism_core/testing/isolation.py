"""`IsolationContract`: what every isolation backend must do, as tests to inherit.

For example::

    class TestPodman(IsolationContract):
        transport = "unix"

        def open(self):
            return open_podman(PodmanConfig())

        def spec(self, directory, replica):
            return ReplicaSpec(replica, ...)    # of a small model

The replicas run the real runtime, or anything that answers HELLO with READY. Needs pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from prism_core import wire
from prism_core.errors import LaunchFailed
from prism_core.protocols import Launcher, ReplicaHandle, ReplicaSpec
from prism_core.testing.walls import WallContract, connect


class IsolationContract(WallContract):
    """Tests of a `Launcher`. Subclass, and say how it is opened and what it may run.

    ``transport`` is the backend's. ``ready_s`` bounds every wait for a replica. ``walls`` and what belongs to
    it are `WallContract`'s.
    """

    ready_s = 60.0

    def broken(self, spec: ReplicaSpec) -> ReplicaSpec:
        """Return ``spec``, changed so that it cannot work. Here: its artifact and manifest do not exist."""
        gone = spec.directory / "gone"
        return attrs.evolve(spec, artifact=gone, manifest=gone)

    async def test_a_replica_answers_on_its_address(self, tmp_path: Path) -> None:
        """HELLO is answered with READY, by the process that the handle names."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            ready = await self._hello(handle)

            assert isinstance(ready, wire.Ready)
            assert handle.replica == "churn-1-0"
            assert handle.pid == 0 or ready.pid in numbers_of(handle.pid) or self.transport != "unix"

    async def test_a_running_replica_has_no_exit_code(self, tmp_path: Path) -> None:
        """Poll is None from the start on."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            assert await launcher.poll(handle) is None
            await self._hello(handle)
            assert await launcher.poll(handle) is None

    async def test_stop_ends_it_and_wait_and_poll_agree(self, tmp_path: Path) -> None:
        """Who waits learns of the end; so does who polls later."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            await self._hello(handle)
            waiting = asyncio.create_task(launcher.wait(handle))

            await launcher.stop(handle, grace_s=5)

            code = await asyncio.wait_for(waiting, self.ready_s)
            assert await launcher.poll(handle) == code

    async def test_stopping_twice_is_fine(self, tmp_path: Path) -> None:
        """Also at the same time."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            await asyncio.gather(launcher.stop(handle, 5), launcher.stop(handle, 5))
            await launcher.stop(handle, grace_s=5)

            assert await launcher.poll(handle) is not None

    async def test_a_broken_spec_fails_with_a_reason(self, tmp_path: Path) -> None:
        """It is refused at once, or ends by itself with an exit code and a log that says why."""
        spec = self.broken(self.spec(tmp_path / "churn-1-0", "churn-1-0"))
        async with self.open() as launcher:
            with self._listener() as listener:
                try:
                    handle = await launcher.start(spec, listener)
                except LaunchFailed as error:
                    assert error.message  # noqa: PT017 - both ways are right
                    return
                code = await asyncio.wait_for(launcher.wait(handle), self.ready_s)

            assert code != 0
            assert [line async for line in launcher.logs(spec.directory, 50, follow=False)]

    async def test_a_dead_replica_is_seen(self, tmp_path: Path) -> None:
        """Killed from outside, it is reported as ended."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            await self._hello(handle)
            if not handle.pid:
                pytest.skip("the replica's process cannot be seen from here")
            os.kill(handle.pid, signal.SIGKILL)

            assert await asyncio.wait_for(launcher.wait(handle), self.ready_s) != 0
            assert await launcher.usage(handle) is None

    async def test_the_log_holds_what_it_wrote(self, tmp_path: Path) -> None:
        """And only as many lines as were asked for."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            await self._hello(handle)
            await launcher.stop(handle, grace_s=5)
            directory = tmp_path / handle.replica

            assert [line async for line in launcher.logs(directory, 50, follow=False)]
            assert len([line async for line in launcher.logs(directory, 1, follow=False)]) == 1

    async def test_usage_is_measured_while_it_runs(self, tmp_path: Path) -> None:
        """Memory and CPU time of a live replica; None afterwards."""
        async with self.open() as launcher, self._started(launcher, tmp_path) as handle:
            await self._hello(handle)
            usage = await launcher.usage(handle)
            await launcher.stop(handle, grace_s=5)

            assert usage is not None
            assert usage.memory_bytes > 0
            assert usage.cpu_s >= 0
            assert await launcher.usage(handle) is None

    async def test_three_start_at_once(self, tmp_path: Path) -> None:
        """Each is a process of its own, on its own address."""
        names = ("churn-1-0", "churn-1-1", "digits-1-0")
        async with self.open() as launcher:
            started = [self._started(launcher, tmp_path, name) for name in names]
            async with started[0] as a, started[1] as b, started[2] as c:
                answers = await asyncio.gather(*map(self._hello, (a, b, c)))

                assert all(isinstance(answer, wire.Ready) for answer in answers)
                assert len({a.address, b.address, c.address}) == 3

    @asynccontextmanager
    async def _started(
        self, launcher: Launcher, directory: Path, replica: str = "churn-1-0"
    ) -> AsyncIterator[ReplicaHandle]:
        async with self._running(launcher, self.spec(directory / replica, replica)) as handle:
            yield handle

    async def _hello(self, handle: ReplicaHandle) -> wire.AnyFrame:
        async with asyncio.timeout(self.ready_s):
            return await say_hello(handle.address)


def numbers_of(pid: int) -> list[int]:
    """Return the numbers of a process: ours, and what it has in PID namespaces of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return [pid]
    names = status.partition("NSpid:")[2].partition("\n")[0]
    return [int(number) for number in names.split()] or [pid]


async def say_hello(address: str, token: str = "") -> wire.AnyFrame:
    """Connect to a replica, greet it, and return its answer."""
    reader, writer = await connect(address)
    try:
        writer.write(wire.encode(wire.Hello(token=token)))
        receiver = wire.Receiver()
        while data := await reader.read(65536):
            for frame, _ in receiver.feed(data):
                return frame
        raise ConnectionResetError("The replica closed the connection without an answer.")
    finally:
        writer.close()
