"""Find Podman's API socket, or start a service that offers one.

A service that is started here ends with its user: when it is left, and by itself a minute after the
last connection, should this process be killed. Containers outlive it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from prism_core.plugin import ConfigError
from prism_podman.config import PodmanConfig
from prism_podman.machine import missing, program, search_path

# A service answers after 0.1 s; the first one of a user sets up their storage.
START_S = 20.0
# Without a connection for so long a service ends by itself.
IDLE_S = 60
GRACE_S = 5.0
LOG_LINES = 5


def configured(config: PodmanConfig, environ: Mapping[str, str]) -> str:
    """Return the URL that somebody named, "" if nobody did."""
    named = config.socket or environ.get("CONTAINER_HOST", "")
    return f"unix://{Path(named).expanduser()}" if named.startswith(("/", "~")) else named


def usual(uid: int, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield where a service of this user may listen already.

    A plain user is not led to root's socket, even where they may open it: their models would run
    under a root service.
    """
    if uid == 0:
        yield "unix:///run/podman/podman.sock"
        return
    for runtime in dict.fromkeys((environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}")):
        if runtime:
            yield f"unix://{runtime}/podman/podman.sock"


def answers(url: str) -> bool:
    """Return whether something accepts connections at a ``unix:`` or ``tcp:`` URL."""
    parts = urlsplit(url)
    try:
        if parts.scheme in ("unix", "http+unix"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "", parts.port or 80), 2).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def reach(config: PodmanConfig) -> AsyncIterator[str]:
    """Give the URL of a Podman that answers.

    Raises
    ------
    ConfigError
        If the one that was named does not answer, or none can be started.
    """
    named = configured(config, os.environ)
    if named:
        if not named.startswith("ssh:") and not await asyncio.to_thread(answers, named):
            raise ConfigError(
                f"Nothing answers at {named}, where Podman should.",
                hint="See `plugins.podman.socket` and CONTAINER_HOST, or leave both out.",
            )
        yield named
        return
    for url in usual(os.getuid(), os.environ):
        if await asyncio.to_thread(answers, url):
            yield url
            return
    async with started() as url:
        yield url


@asynccontextmanager
async def started() -> AsyncIterator[str]:
    """Start a service in a directory that nobody else may enter, and end it."""
    reason = missing()
    if reason:
        raise ConfigError(f"Containers cannot be started: {reason}", hint="`prism podman doctor` says more.")
    directory = Path(tempfile.mkdtemp(prefix="prism-podman-"))
    try:
        service = await _start(directory)
        try:
            await _until_it_answers(service, directory)
            yield f"unix://{directory}/s"
        finally:
            await _end(service)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _start(directory: Path) -> asyncio.subprocess.Process:
    with (directory / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            program("podman"),
            *flags(),
            "system",
            "service",
            f"--time={IDLE_S}",
            f"unix://{directory}/s",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",  # Podman refuses a directory that it cannot read
            env=environment(os.environ),
            start_new_session=True,  # Ctrl-C in the terminal must not end it before its containers
        )


def flags() -> tuple[str, ...]:
    """Return what Podman has to be told where this machine's own settings would not work."""
    told = ["--events-backend=file"]  # the journal is not readable everywhere
    if hybrid() and program("runc"):
        told.append("--runtime=runc")  # crun: "cgroups in hybrid mode not supported"
    if not Path("/run/systemd/system").exists():
        told.append("--cgroup-manager=cgroupfs")
    return tuple(told)


def hybrid() -> bool:
    """Return whether control groups are of version 1, alone or beside version 2."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a service is told of ours: where it is at home, and its own settings."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in ("HOME", "USER", "LOGNAME", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS", "REGISTRY_AUTH_FILE")
        or name.startswith(("CONTAINERS_", "STORAGE_", "LC_", "LANG"))
        or name.lower().endswith("_proxy")
    }
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _is_own(Path(runtime)):
        kept["XDG_RUNTIME_DIR"] = runtime
    return {**kept, "PATH": search_path()}


def _is_own(directory: Path) -> bool:
    """Return whether it is there and ours: Podman ends at a runtime directory that is not."""
    try:
        status = directory.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


async def _until_it_answers(service: asyncio.subprocess.Process, directory: Path) -> None:
    url = f"unix://{directory}/s"
    ended = asyncio.create_task(service.wait())
    try:
        async with asyncio.timeout(START_S):
            while not (directory / "s").exists() or not answers(url):
                if ended.done():
                    raise ConfigError(
                        f"Podman ended with {service.returncode}: {_last(directory)}", hint=_HINT
                    )
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise ConfigError(
            f"Podman did not answer within {START_S:.0f} s: {_last(directory)}", hint=_HINT
        ) from None
    finally:
        ended.cancel()


_HINT = "`prism podman doctor` says what is wrong."


def _last(directory: Path) -> str:
    lines = (directory / "log").read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(lines[-LOG_LINES:]) or "it said nothing."


async def _end(service: asyncio.subprocess.Process) -> None:
    if service.returncode is not None:
        return
    service.terminate()
    try:
        await asyncio.wait_for(service.wait(), GRACE_S)
    except TimeoutError:
        service.kill()
        await service.wait()
