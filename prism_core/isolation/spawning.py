"""Start a replica as a fresh interpreter, where fork will not do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from contextlib import suppress

from prism_core.isolation.forking import Started, watch
from prism_core.isolation.variables import replica_variables
from prism_core.protocols import ReplicaSpec


def spawn(spec: ReplicaSpec, entry: str, descriptors: list[int]) -> Started:
    """Start the interpreter of ``spec``; the descriptors are life line, log and listener.

    Raises
    ------
    OSError
        The interpreter cannot be started.
    """
    path = spec.directory / "spec.json"
    path.touch(0o600)  # it may hold the token
    path.write_bytes(spec.to_json())
    life, log, listener = descriptors
    options = ("--fd", str(listener), "--life", str(life), "--entry", entry)
    # Not asyncio's: under uvloop a child inherits every descriptor without CLOEXEC, and copies of ours.
    process = subprocess.Popen(
        (spec.python, "-P", "-m", "prism_core.isolation.child", path, *options),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(listener, life),
        env=replica_variables(os.environ, spec.threads),
        start_new_session=True,
    )
    return Started(process.pid, _exit_of(process))


def _exit_of(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int] = loop.create_future()

    def ended() -> None:
        exited.set_result(process.wait())
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
