"""Shut this process in, before anything of a model is run. Called in the replica itself.

What was taken away cannot be had again. Whatever does not work raises: a replica never
says that it is at a level at which it is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, MutableMapping
from contextlib import suppress

import msgspec

from prism_core.isolation import kernel, landlock, limits, mounts, seccomp
from prism_core.isolation.limits import Bounds
from prism_core.isolation.sandbox import Level
from prism_core.isolation.view import DEVICES, PROCESS, View, view

# Threads of all replicas that were forked from one zygote. Where a limit of a single one does not
# bind, as for root, this keeps them from taking all that the machine has.
THREADS_OF_ALL = 8192
# Before, /proc/sys/kernel/pid_max was the machine's, not the namespace's.
_OWN_PID_MAX = (6, 14)


class Confines(msgspec.Struct, frozen=True):
    """How one replica is to be shut in.

    It sees ``own`` and ``readable``, writes into ``write`` and sees nothing else of ``private``.
    """

    level: Level
    bounds: Bounds
    own: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()


def confine(confines: Confines, environment: Iterable[str], life: int) -> None:
    """Shut this process in, which has one thread.

    ``environment`` are the paths of its interpreter and modules; see `view.imported`. Its life
    line ``life`` can then not be cut by anything that it runs.
    """
    level, bounds = confines.level, confines.bounds
    seen = view((*environment, *confines.readable), confines.private, confines.own, confines.write)
    if level is Level.OFF:
        limits.limit_data(bounds.data_bytes)
        return
    if sys.platform == "linux":
        limits.be_first_to_go()
    if level is Level.NAMESPACES:
        mounts.enter(seen, bounds.tmp_bytes)
        _be_at_home_in_tmp(os.environ)
    limits.bound(bounds, alone=level is Level.NAMESPACES)
    if level in (Level.NAMESPACES, Level.LANDLOCK):
        kernel.drop_capabilities()
        kernel.set_no_new_privileges()
        _restrict_files(level, seen)
        seccomp.install(os.getpid(), life)


def _restrict_files(level: Level, seen: View) -> None:
    if level is Level.LANDLOCK:
        landlock.restrict((*seen.read, *PROCESS), (*DEVICES, *seen.write))
    elif landlock.version():  # once more what the mounts say; and no signals, no abstract sockets
        landlock.restrict(("/",), (*DEVICES, "/tmp", *seen.write))


def _be_at_home_in_tmp(variables: MutableMapping[str, str]) -> None:
    """Lead what looks for a home or for room to the only place where it may write."""
    variables.update(dict.fromkeys(("HOME", "TMPDIR"), "/tmp"))
    tempfile.tempdir = None  # it may have been looked for already


def share_threads() -> None:
    """Bound the threads of this process's PID namespace, where the kernel can."""
    release = os.uname().release.split(".")[:2]
    if tuple(int(part) for part in release if part.isdigit()) >= _OWN_PID_MAX:
        with suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as file:
            file.write(str(THREADS_OF_ALL))
