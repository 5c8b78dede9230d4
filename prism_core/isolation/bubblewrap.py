"""Start a process under ``bwrap``: no network, no processes and no IPC but its own.

It has CAP_SYS_ADMIN over its namespaces, and sees all files still unless it is told which: what runs there
is a zygote, and each replica gives up both before it runs anything of a model. It is
not told to die with its parent: replicas outlive their zygote. Their life lines end them.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Sequence

from prism_core.isolation.view import DEVICES

PROGRAM = "bwrap"
_OPTIONS = (
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    # SETFCAP: without it root may not be mapped into the user namespace of a replica.
    *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETFCAP"),
)
_ALL = ("--dev-bind", "/", "/")
# Before what is seen, some of which may lie below /tmp. Not --dev: for that bubblewrap takes a second user
# namespace, from which an account that is not root cannot mount a /proc in the first one's PID namespace, as
# each replica does.
_NOTHING = (
    *("--tmpfs", "/tmp", "--tmpfs", "/dev", "--dir", "/dev/shm", "--symlink", "/proc/self/fd", "/dev/fd"),
    *(word for device in DEVICES for word in ("--dev-bind", device, device)),
    *("--proc", "/proc", "--chdir", "/"),
)


def installed() -> bool:
    """Tell whether the program is there."""
    return shutil.which(PROGRAM) is not None


def wrapped(command: Sequence[str], read: Sequence[str] = (), write: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs ``command`` in namespaces of its own.

    With ``read`` it sees these files and directories alone, and an empty /tmp; those of ``write``
    it may change.

    Raises
    ------
    FileNotFoundError
        If there is no such program: bubblewrap would say so only in a log.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    return [PROGRAM, *_OPTIONS, *_files(read, write), "--", *command]


def _files(read: Sequence[str], write: Sequence[str]) -> list[str]:
    if not read:
        return [*_ALL]
    seen = [word for path in read for word in ("--ro-bind-try", path, path)]
    return [*_NOTHING, *seen, *(word for path in write for word in ("--bind", path, path))]


def exit_code_of(code: int) -> int:
    """Return the exit code of what ran inside, negative for a signal, from that of bubblewrap."""
    ended_by_signal = 128 < code <= 128 + signal.SIGRTMAX
    return 128 - code if ended_by_signal else code
