"""Disks that are full, databases that are locked, artifacts that are not what they were."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prism_core.errors import PrismError
from tests.system.faults.load import loading
from tests.system.faults.scene import Seen, all_answered, scenes
from tests.system.faults.stage import Server, Stage, until

MB = 1 << 20
DISK = 12 * MB


# --- a full disk --------------------------------------------------------------------------


class SmallDisk:
    """A data directory that can be made full and free again."""

    def __init__(self, directory: Path, mounted: bool) -> None:
        self.data = directory / "data"
        self._filler = directory / "filler"
        self._mounted = mounted

    def fill(self, server: Server) -> None:
        """Leave no room: to nobody, or where nothing can be mounted, to the server."""
        if not self._mounted:
            # What exists may be overwritten, nothing may grow: the error is another, its way is the same.
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self, server: Server) -> None:
        """Make room again."""
        if not self._mounted:
            forever = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, forever)
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(stage: Stage, name: str) -> Iterator[SmallDisk]:
    """Mount a file system of a few megabytes, where this account may."""
    directory = stage.directory / name
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(directory)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield SmallDisk(directory, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)


def failing(upload) -> PrismError:
    """Return what the owner is told."""
    try:
        upload()
    except PrismError as error:
        return error
    raise AssertionError("it should not have worked")


def champion(server: Server, name: str) -> None:
    """Point an alias at the first version."""
    server.call("PUT", f"/models/{name}/aliases/champion", body={"version": 1})


def until_refused(server: Server, name: str) -> None:
    """Change an alias again and again: what files have of their last pages is used first."""
    for _ in range(200):
        champion(server, name)


async def full_while_uploading(stage: Stage) -> Seen:
    with small_disk(stage, "uploading") as disk, stage.serving(data=disk.data) as server:
        url = server.send(stage.faulty("kept", factor=2))
        large = stage.directory / "large.faulty"
        large.write_bytes(b'{"factor": 3}' + b" " * (4 * MB))
        async with loading(url, 2) as load:
            load.begin(100)
            disk.fill(server)
            error = await asyncio.to_thread(failing, lambda: server.send(large))
            os.kill(server.pids("kept")[0], signal.SIGKILL)  # a restart needs no room
            await until(lambda: server.version("kept")["replicas"][0]["restarts"] == 1)
            disk.free(server)
            moment = time.monotonic()
            await asyncio.to_thread(server.send, large)
            healthy_s = time.monotonic() - moment
            await load.end()
            seen = all_answered(load)
        left = [one.name for one in (server.data_dir / "artifacts").iterdir()]
        assert len(left) == 2, left
        assert error.status == 507, error
        return Seen(f"the owner: 507 `{error.code}`; {seen}", healthy_s=healthy_s)


async def full_at_commit(stage: Stage) -> Seen:
    """The artifact is stored and started; then its row finds no room: as if it had never been."""
    with small_disk(stage, "commit") as disk, stage.serving(data=disk.data) as server:
        url = server.send(stage.faulty("row", factor=2))
        slow = stage.faulty("row", factor=3, load_s=0.5)
        async with loading(url, 2) as load:
            load.begin(100)
            uploading = asyncio.create_task(asyncio.to_thread(failing, lambda: server.send(slow)))
            await until(lambda: len(list((server.data_dir / "artifacts").iterdir())) == 2)
            await asyncio.sleep(0.1)
            disk.fill(server)
            error = await uploading
            disk.fill(server)  # what the upload gave back
            aliasing = await asyncio.to_thread(failing, lambda: until_refused(server, "row"))
            disk.free(server)
            await load.end()
            seen = all_answered(load)
        assert [one["version"] for one in server.model("row")["versions"]] == [1]
        assert (error.status, aliasing.status) == (507, 507), (error, aliasing)
        moment = time.monotonic()
        await asyncio.to_thread(server.send, slow)
        return Seen(f"the owner: 507 `{error.code}`; {seen}", healthy_s=time.monotonic() - moment)


# --- a locked database --------------------------------------------------------------------


@contextmanager
def lock(server: Server) -> Iterator[None]:
    """Hold the registry's database as another program might."""
    connection = sqlite3.connect(server.data_dir / "prism.db", isolation_level=None)
    try:
        connection.execute("begin exclusive")
        yield
    finally:
        connection.close()


async def locked_database(stage: Stage) -> Seen:
    """A replica is replaced as ever; what must be stored is refused, in six seconds; then all is well."""
    server = stage.common()
    url = server.send(stage.faulty("locked", factor=2))
    (pid,) = server.pids("locked")
    async with loading(url, 2) as load:
        load.begin(100)
        with lock(server):
            os.kill(pid, signal.SIGKILL)
            moment = time.monotonic()
            await until(lambda: server.pids("locked") not in ([], [pid]))
            resumed_s = load.resumed_s(moment)
            put = ("PUT", "/models/locked/aliases/champion")
            error = await asyncio.to_thread(failing, lambda: server.call(*put, body={"version": 1}))
        assert error.code == "storage_failed", error
        server.call(*put, body={"version": 1})
        await load.end()
        assert resumed_s < 4.5, "nobody waits for a row"
        return Seen(
            f"the owner: 503 `{error.code}` with `Retry-After`; {all_answered(load)}", healthy_s=resumed_s
        )


async def locked_at_start(stage: Stage) -> Seen:
    """Reading is possible, so what was served before is served again."""
    with stage.serving() as server:
        server.send(stage.faulty("early", factor=2))
        server.stop()
        with lock(server):
            begun = time.monotonic()
            await asyncio.to_thread(server.start)
            async with loading(f"{server.url}/model/early/predict", 2) as load:
                await load.answer()
                healthy_s = time.monotonic() - begun
                error = await asyncio.to_thread(failing, lambda: champion(server, "early"))
                await load.steadily(100, 0.2)
                await load.end()
        assert error.code == "storage_failed", error
        champion(server, "early")
        return Seen(f"the owner: 503 `{error.code}`; {all_answered(load)}", healthy_s=healthy_s)


# --- an artifact that is not what it was --------------------------------------------------


def damage(server: Server, name: str) -> Path:
    """Change one byte of a stored artifact, and leave its size and its time."""
    path = server.data_dir / "artifacts" / server.version(name)["digest"].replace(":", "-")
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


async def damaged(stage: Stage) -> Seen:
    """Neither a restarted replica nor a restarted server loads it; the same upload repairs it."""
    with stage.serving() as server:
        good = stage.line("whole", 2)
        url = server.send(good)
        (pid,) = server.pids("whole")
        damage(server, "whole")
        async with loading(url, 2) as load:
            load.begin(50)
            await asyncio.sleep(0.2)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: server.version("whole")["replicas"][0]["state"] != "READY")
            await asyncio.to_thread(server.send, good)  # while the server still tries
            await until(lambda: server.version("whole")["replicas"][0]["state"] == "READY", 30)
            await load.end()
            repaired = all_answered(load)
        damage(server, "whole")
        server.stop()
        server.start()
        await until(lambda: server.version("whole")["state"] == "FAILED")
        reason = server.version("whole")["error"]
        assert "is damaged" in reason, reason
        async with loading(f"{server.url}/model/whole/predict", 2) as load:
            assert (await load.answer()).status == 503, load.outcomes()
        moment = time.monotonic()
        url = await asyncio.to_thread(server.send, good)
        async with loading(url, 2) as load:
            assert (await load.answer()).right
        return Seen(
            f"503, never a wrong answer, and the owner sees why; after the same upload {repaired}",
            healthy_s=time.monotonic() - moment,
        )


SCENES = scenes(
    ("a disk that is full while a model is uploaded", full_while_uploading),
    ("a disk that is full when the registry commits", full_at_commit, "slow"),
    ("a database that is locked, and a replica is killed", locked_database, "slow"),
    ("a database that is locked at the start", locked_at_start, "slow"),
    ("a damaged artifact on the disk", damaged, "slow"),
)
