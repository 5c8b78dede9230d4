"""Start a replica as a fresh interpreter, where fork will not do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from prism_core.isolation.bubblewrap import exit_code_of, wrapped
from prism_core.isolation.confine import Confines
from prism_core.isolation.forking import Kind, Started, pid_of, watch
from prism_core.isolation.sandbox import Level
from prism_core.isolation.variables import replica_variables
from prism_core.protocols import ReplicaSpec


async def spawn(
    kind: Kind, spec: ReplicaSpec, entry: str, confines: Confines, descriptors: list[int], timeout_s: float
) -> Started:
    """Start the interpreter of ``spec``; the descriptors are life line, log and listener.

    Raises
    ------
    OSError
        The interpreter cannot be started.
    """
    path = spec.directory / "spec.json"
    path.touch(0o600)  # it may hold the token
    path.write_bytes(spec.to_json())
    life, _, listener = descriptors
    options = ["--fd", f"{listener}", "--life", f"{life}", "--entry", entry, "--confines", _json(confines)]
    command = [kind.python, "-P", "-m", "prism_core.isolation.child", f"{path}", *options]
    if kind.level is Level.NAMESPACES:
        return await _spawn_apart(command, kind, spec.threads, descriptors, timeout_s)
    process = _open(command, kind, spec.threads, descriptors)
    return Started(process.pid, _exit_of(process))


async def _spawn_apart(
    command: list[str], kind: Kind, threads: int, descriptors: list[int], timeout_s: float
) -> Started:
    """Start it under bubblewrap; it tells by a pidfd which process it is."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            told = theirs.fileno()
            command = wrapped([*command, "--tell", f"{told}"], kind.read, kind.write)
            process = _open(command, kind, threads, [*descriptors, told])
        exited = _exit_of(process, exit_code_of)
        ours.setblocking(False)
        try:
            return Started(await asyncio.wait_for(_pid_from(ours), timeout_s), exited)
        except (EOFError, TimeoutError):  # it ended before it could; its exit code and its log say why
            kill_group(process.pid)
            return Started(process.pid, exited)


async def _pid_from(ours: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(ours, _set_once, readable)
    try:
        await readable
    finally:
        loop.remove_reader(ours)
    _, pidfds, _, _ = socket.recv_fds(ours, 1, 1)
    if not pidfds:
        raise EOFError
    try:
        return pid_of(pidfds[0])
    finally:
        os.close(pidfds[0])


def _set_once(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_result(None)


def _json(confines: Confines) -> str:
    return msgspec.json.encode(confines).decode()


def _open(command: list[str], kind: Kind, threads: int, descriptors: list[int]) -> subprocess.Popen[bytes]:
    life, log, *passed = descriptors
    # Not asyncio's: under uvloop a child inherits every descriptor without CLOEXEC, and copies of ours.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(life, *passed),
        env=replica_variables(os.environ, threads, kind.level, kind.variables, other=kind.other),
        start_new_session=True,
    )


def _exit_of(process: subprocess.Popen[bytes], code: Callable[[int], int] = int) -> asyncio.Future[int]:
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int] = loop.create_future()

    def ended() -> None:
        exited.set_result(code(process.wait()))
        kill_group(process.pid)  # what the model itself started

    def wait() -> None:
        process.wait()
        with suppress(RuntimeError):  # the loop was closed with the replica still running
            loop.call_soon_threadsafe(ended)

    try:
        pidfd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # neither macOS nor a kernel before 5.3 has it
        threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    else:
        watch(loop, pidfd, ended)
    return exited


def kill_group(pid: int) -> None:
    """Kill the process group that ``pid`` leads, if there is one."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies only
        os.killpg(pid, signal.SIGKILL)
