"""Find Podman's API socket, or start a service that offers one.

A service that is started here ends with this process, however that ends. Containers outlive it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from prism_core.plugin import ConfigError
from prism_podman.config import PodmanConfig
from prism_podman.machine import missing, program, search_path
from prism_podman.private import private_directory

# A service answers after 0.1 s; the first one of a user sets up their storage.
START_S = 20.0
LOOK_S = 0.01
# Where Podman keeps a plain user's images; what its first use decides, stays.
STORE = ".local/share/containers/storage"
GRACE_S = 5.0
LOG_LINES = 5
SCHEMES = ("unix", "http+unix", "tcp", "http")
HINT = "`prism podman doctor` says what is wrong."


def configured(config: PodmanConfig, environ: Mapping[str, str]) -> str:
    """Return the URL that somebody named, "" if nobody did."""
    named = config.socket or environ.get("CONTAINER_HOST", "")
    return f"unix://{Path(named).expanduser()}" if named.startswith(("/", "~")) else named


def check_scheme(url: str) -> None:
    """Raise ConfigError for an address that is neither a socket nor a port.

    The library would take ``ssh:`` too, but believes any host key; and replicas there could not be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ConfigError(
            f"Podman's address {url!r} is none of unix:///PATH, tcp://HOST:PORT and /PATH.",
            hint="See `plugins.podman.socket` and CONTAINER_HOST; `podman machine inspect` names the socket.",
        )


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
async def reach(config: PodmanConfig) -> AsyncIterator[Reached]:
    """Give a Podman that answers.

    Raises
    ------
    ConfigError
        If the one that was named does not answer, or none can be started.
    """
    named = configured(config, os.environ)
    if named:
        check_scheme(named)
        if not await asyncio.to_thread(answers, named):
            raise ConfigError(
                f"Nothing answers at {named}, where Podman should.",
                hint="See `plugins.podman.socket` and CONTAINER_HOST, or leave both out.",
            )
        yield Reached(named)
        return
    if sys.platform != "linux":
        raise ConfigError(
            "Podman runs in a virtual machine here, and nobody named its socket.",
            hint="Set plugins.podman.socket to what `podman machine inspect` calls PodmanSocket.",
        )
    for url in usual(os.getuid(), os.environ):
        if await asyncio.to_thread(answers, url):
            yield Reached(url)
            return
    async with started() as service:
        yield Reached(service.url, service)


@asynccontextmanager
async def started() -> AsyncIterator[Service]:
    """Start a service in a directory that nobody else may enter, and end it."""
    reason = missing()
    if reason:
        raise ConfigError(f"Containers cannot be started: {reason}", hint=HINT)
    with private_directory() as directory:
        service = Service(directory)
        try:
            await service.start()
            yield service
        finally:
            await service.end()


class Service:
    """A service of Podman that this process started, and starts again if it dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self._directory}/s"

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have died."""
        return self.process is not None and self.process.poll() is not None

    async def revive(self) -> bool:
        """Start it again if it has ended; return whether it had."""
        async with self._starting:
            # The socket closes a moment before the process is over.
            ended = await self._ended(1.0)
            if ended:
                await self._start()
            return ended

    async def start(self) -> None:
        """Start it and wait until it answers; raises ConfigError with what it said if it does not."""
        async with self._starting:
            await self._start()

    async def end(self) -> None:
        """End it; containers live on."""
        if self.process is None:
            return
        self.process.terminate()
        if not await self._ended(GRACE_S):
            kill_group(self.process)
            await asyncio.to_thread(self.process.wait)

    async def _start(self) -> None:
        (self._directory / "s").unlink(missing_ok=True)
        process = self.process = self._open()
        try:
            async with asyncio.timeout(START_S):
                while not answers(self.url):
                    if process.poll() is not None:
                        raise ConfigError(
                            f"Podman ended with {process.returncode}: {self._last()}", hint=HINT
                        )
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise ConfigError(
                f"Podman did not answer in {START_S:.0f} s: {self._last()}", hint=HINT
            ) from None

    def _open(self) -> subprocess.Popen[bytes]:
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                command(self.url),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",  # Podman refuses a directory that it cannot read
                env=environment(os.environ),
                start_new_session=True,  # Ctrl-C in the terminal must not end it before its containers
            )

    async def _ended(self, timeout_s: float) -> bool:
        assert self.process is not None
        try:
            await asyncio.to_thread(self.process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _last(self) -> str:
        lines = (self._directory / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-LOG_LINES:]) or "it said nothing."


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a service that leads a session: without root Podman goes on in a child, which would outlive it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@attrs.frozen
class Reached:
    """Where a Podman answers, and the service if it was started here."""

    url: str
    service: Service | None = None


def command(url: str) -> list[str]:
    """Return the command line of a service; it ends with this process, also after ``kill -9``."""
    tied = [program("setpriv"), "--pdeathsig", "TERM", "--"] if program("setpriv") else []
    return [*tied, program("podman"), *flags(), "system", "service", "--time=0", url]


def flags() -> tuple[str, ...]:
    """Return what Podman has to be told where this machine's own settings would not work."""
    told = ["--events-backend=file"]  # the journal is not readable everywhere
    if hybrid() and program("runc"):
        told.append("--runtime=runc")  # crun: "cgroups in hybrid mode not supported"
    if not Path("/run/systemd/system").exists():
        told.append("--cgroup-manager=cgroupfs")
    if os.geteuid() and not (Path.home() / STORE).exists():
        told.append("--storage-driver=overlay")  # else vfs may be taken: a copy of the image at every start
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
