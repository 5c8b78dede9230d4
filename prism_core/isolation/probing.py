"""Find out what works on this machine, by doing it once: ``python -P -m prism_core.isolation.probing LEVEL``.

The module is imported by the gateway's end, and run as a program inside: there it shuts a
child in and lets it try what it must not be able to do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from prism_core.isolation import bubblewrap, seccomp
from prism_core.isolation.limits import MB, Bounds
from prism_core.isolation.sandbox import Abilities, Level

# A machine that is busy with other things takes its time to start an interpreter.
PROBE_S = 30.0
_BOUNDS = Bounds(data_bytes=1024 * MB, threads=16, file_bytes=MB, tmp_bytes=MB)

NO_LINUX = "namespaces, Landlock and seccomp are Linux's"
NO_BWRAP = "bubblewrap is not installed; install the package `bubblewrap` of your distribution"


@functools.cache
def abilities() -> Abilities:
    """Return what works here; tried once in the life of this process."""
    if sys.platform != "linux":
        return Abilities(NO_LINUX, NO_LINUX)
    missing = seccomp.problem()
    if missing:
        return Abilities(missing, missing)
    namespaces = _namespaces()
    return Abilities(namespaces, tried(Level.LANDLOCK) if namespaces else "")


def _namespaces() -> str:
    if not bubblewrap.installed():
        return NO_BWRAP
    reason = tried(Level.NAMESPACES)
    return reason and (
        f"bubblewrap cannot make namespaces here ({reason}); in a container, or where the system forbids "
        "user namespaces to programs, an administrator has to allow them"
    )


def tried(level: Level) -> str:
    """Return "" if a process can be shut in at ``level`` here, else the last words of the attempt."""
    command = [sys.executable, "-P", "-m", "prism_core.isolation.probing", level.value]
    if level is Level.NAMESPACES:
        command = bubblewrap.wrapped(command)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    words = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
    return "" if done.returncode == 0 else words or f"exit code {done.returncode}"


# --- inside -----------------------------------------------------------------------------


def _attempts() -> dict[str, Callable[[], object]]:
    """Return what a process that is shut in must fail at."""
    return {
        "open a socket": socket.socket,
        "start a process": os.fork,
        "signal another process": lambda: os.kill(1, 0),
        "list another directory": lambda: os.listdir("/proc/1"),
    }


def main() -> int:
    """Shut a child in and tell by the exit code whether it is; a reason goes to stderr."""
    from prism_core.isolation.confine import Confines, confine
    from prism_core.isolation.view import imported

    level = Level(sys.argv[1])
    life, _ = os.pipe()
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return min(1, abs(os.waitstatus_to_exitcode(status)))
    code = 1
    try:
        confine(Confines(level, _BOUNDS), imported(), life)
        allowed = [name for name, attempt in _attempts().items() if _succeeds(attempt)]
        threading.Thread(target=int).start()  # this it must be able to
        print(*(f"it can still {name}" for name in allowed), sep=", ", file=sys.stderr)
        code = len(allowed)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _succeeds(attempt: Callable[[], object]) -> bool:
    with contextlib.suppress(OSError):
        if attempt() == 0:  # a child of a fork that should not have been
            os._exit(1)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
