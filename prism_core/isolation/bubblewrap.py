"""Start a process under ``bwrap``: no network, no processes and no IPC but its own.

It sees all files still, and has CAP_SYS_ADMIN over its namespaces: what runs there is a zygote,
which is trusted, and each replica gives up both before it runs anything of a model. It is
not told to die with its parent: replicas outlive their zygote. Their life lines end them.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Sequence

PROGRAM = "bwrap"
_OPTIONS = (
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    # SETFCAP: without it root may not be mapped into the user namespace of a replica.
    *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETFCAP", "--dev-bind", "/", "/"),
)


def installed() -> bool:
    """Tell whether the program is there."""
    return shutil.which(PROGRAM) is not None


def wrapped(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` in namespaces of its own.

    Raises
    ------
    FileNotFoundError
        If there is no such program: bubblewrap would say so only in a log.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    return [PROGRAM, *_OPTIONS, "--", *command]


def exit_code_of(code: int) -> int:
    """Return the exit code of what ran inside, negative for a signal, from that of bubblewrap."""
    ended_by_signal = 128 < code <= 128 + signal.SIGRTMAX
    return 128 - code if ended_by_signal else code
