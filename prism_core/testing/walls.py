"""What a backend claims of its walls, tried from inside of a replica.

For example::

    class TestPodmanWalls(WallContract):
        walls = frozenset(Wall) - {Wall.PROCESSORS}

with `open` and `spec` as `IsolationContract` has them, of which this is a part.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import attrs
import msgspec
import pytest

from prism_core import wire
from prism_core.manifest import Manifest
from prism_core.probe import ATTEMPTS, LOADER, MB, REFERENCE, Facts, Wall
from prism_core.protocols import Launcher, ReplicaHandle, ReplicaSpec

Attempts = Callable[[Sequence[str]], Awaitable[dict[str, str]]]

VARIABLE = "PROBE_SECRET"
# An image may have to be made first, and a bound takes its time to be enforced.
ATTEMPT_S = 120.0
# Tried one by one: a replica may end over them.
BOUNDS = (Wall.MEMORY, Wall.THREADS)


class WallContract:
    """Tests of the walls around a replica: the part of `IsolationContract` that tries them from inside.

    ``transport`` is the backend's. ``walls`` are those that it claims; the replicas that try them run PRISM's
    runtime with a small model of its own. ``memory_factor`` is how many times its memory limit a replica must
    not get, ``too_many`` how many threads.
    """

    transport = "unix"
    walls: frozenset[Wall] = frozenset()
    memory_limit_bytes = 192 * MB
    memory_factor = 1.0
    too_many = 1024

    pytestmark = pytest.mark.asyncio

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Launcher]:
        """Return the launcher, to be entered."""

    @abstractmethod
    def spec(self, directory: Path, replica: str) -> ReplicaSpec:
        """Return the spec of a small working replica that writes a line to its log when it begins."""

    async def test_the_walls_that_it_claims_hold(self, tmp_path: Path) -> None:
        """Whatever is not for a replica is tried from inside, all by one."""
        claimed = [wall for wall in ATTEMPTS if wall in self.walls.difference(BOUNDS)]
        if not claimed:
            pytest.skip("it claims no walls")
        async with self._probed(tmp_path) as (_, handle, attempts):
            assert await attempts(claimed) == dict.fromkeys(claimed, "")
            if Wall.USER in self.walls:
                assert account_of(handle.pid) != os.geteuid()

    @pytest.mark.parametrize("wall", BOUNDS)
    async def test_a_bound_that_it_claims_holds(self, tmp_path: Path, wall: Wall) -> None:
        """What is too much is refused to the replica, which goes on; or the replica ends over it."""
        if wall not in self.walls:
            pytest.skip(f"it claims no bound of {wall}")
        async with self._probed(tmp_path, self.memory_limit_bytes) as (launcher, handle, attempts):
            try:
                assert await attempts([wall]) == {wall: ""}
            except ConnectionError:
                assert await asyncio.wait_for(launcher.wait(handle), ATTEMPT_S) != 0
            else:
                assert await attempts([""]) == {"": ""}

    @asynccontextmanager
    async def _probed(
        self, directory: Path, memory_limit_bytes: int = 0
    ) -> AsyncIterator[tuple[Launcher, ReplicaHandle, Attempts]]:
        """Start a replica with the probe, amid what it is to try; gives what has it try walls."""
        spec = self.spec(directory / "probe-1-0", "probe-1-0")
        spec = attrs.evolve(spec, memory_limit_bytes=memory_limit_bytes)
        with surroundings(spec.threads) as facts:
            facts = msgspec.structs.replace(
                facts, memory_mb=int(memory_limit_bytes * self.memory_factor) // MB, threads=self.too_many
            )
            async with self.open() as launcher, self._running(launcher, probing(spec, facts)) as handle:
                yield launcher, handle, partial(attempt, handle.address, token=spec.token)

    @asynccontextmanager
    async def _running(self, launcher: Launcher, spec: ReplicaSpec) -> AsyncIterator[ReplicaHandle]:
        with self._listener() as listener:
            handle = await launcher.start(spec, listener)
            if listener:
                listener.close()  # the replica has its own; the address stays
            try:
                yield handle
            finally:
                await launcher.stop(handle, grace_s=5)

    @contextmanager
    def _listener(self) -> Iterator[socket.socket | None]:
        """Listen in a short directory: the address of a Unix socket ends at 107 bytes."""
        if self.transport != "unix":
            yield None
            return
        with (
            tempfile.TemporaryDirectory(prefix="prism-test-") as directory,
            socket.socket(socket.AF_UNIX) as listener,
        ):
            listener.bind(f"{directory}/s")
            listener.listen(16)
            yield listener


@contextmanager
def surroundings(processors: int) -> Iterator[Facts]:
    """Put around a replica what it must not reach, and tell it of that."""
    marker = f"prism-probe-{uuid.uuid4().hex}"
    with (
        tempfile.TemporaryDirectory(prefix="prism-probe-") as directory,
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as abstract,
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()", marker], stdin=subprocess.PIPE
        ) as process,
    ):
        os.chmod(directory, 0o755)  # readable by whoever a replica may be
        secret = Path(directory, "secret")
        secret.write_text("hush")
        abstract.bind(f"\0{marker}")
        abstract.listen()
        patch.setenv(VARIABLE, "hush")
        yield Facts(
            port=port.getsockname()[1],
            abstract=marker,
            secrets=(str(secret),),
            variable=VARIABLE,
            pid=process.pid,
            marker=marker,
            processors=processors,
            memory_mb=0,
            threads=0,
        )


def probing(spec: ReplicaSpec, facts: Facts) -> ReplicaSpec:
    """Return ``spec`` with the probe as its model, in a directory in which another model lies beside it."""
    place = spec.directory.parent / f"{spec.replica}-probe"
    place.mkdir()
    artifact, manifest = place / "this.probe", place / "manifest.json"
    other = place / "other.probe"
    other.write_text("another model")
    artifact.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(facts, secrets=(*facts.secrets, str(other))))
    )
    manifest.write_bytes(
        Manifest(
            *("churn", 1, LOADER, LOADER, artifact.name, "sha256:0", artifact.stat().st_size, 0.0),
            deterministic=False,
            row_independent=False,
            memory_limit_bytes=spec.memory_limit_bytes,
        ).to_json()
    )
    return attrs.evolve(spec, artifact=artifact, manifest=manifest, plugins=(REFERENCE,), warm=())


async def attempt(address: str, walls: Sequence[str], token: str = "") -> dict[str, str]:
    """Have a replica with the probe try walls; return for each what got through.

    Raises
    ------
    ConnectionError
        If the replica ends over it.
    """
    body = msgspec.json.encode({"input": list(walls)})
    call = wire.encode(wire.Call(1, "application/json", "application/json"), len(body)) + body
    async with asyncio.timeout(ATTEMPT_S):
        answer = await converse(address, token, call)
    return dict(zip(walls, msgspec.json.decode(answer)["predictions"], strict=True))


async def converse(address: str, token: str, call: bytes) -> bytes:
    """Greet a replica, make one call and return the body of its reply."""
    reader, writer = await connect(address)
    try:
        writer.write(wire.encode(wire.Hello(token=token)))
        receiver = wire.Receiver()
        while data := await reader.read(65536):
            for frame, body in receiver.feed(data):
                if isinstance(frame, wire.Ready):
                    writer.write(call)
                    continue
                assert isinstance(frame, wire.Reply), frame
                return bytes(body)
        raise ConnectionResetError("The replica closed the connection without an answer.")
    finally:
        writer.close()


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a replica."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        return await asyncio.open_unix_connection(rest)
    host, _, port = rest.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def account_of(pid: int) -> int:
    """Return as whom a process runs, as this machine counts its accounts."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Uid:")[2].split()[1])
