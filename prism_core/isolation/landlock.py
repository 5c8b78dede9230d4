"""Landlock: an unprivileged process takes access to files, TCP, abstract sockets and signals from itself.

Only what is opened afterwards is judged; descriptors that a process has go on working.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from prism_core.isolation import kernel

# How many of the rights to files each version of the interface knows; later ones know all 16.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_RIGHTS = 16
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK, IOCTL_DEV = 1 << 6, 1 << 9, 1 << 11, 1 << 15
TRUNCATE = 1 << 14
READ = READ_FILE | READ_DIR
# To write, but neither to make devices and sockets nor to execute what was written.
WRITE = ((1 << _ALL_RIGHTS) - 1) & ~(EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_BLOCK | IOCTL_DEV)
# What may be asked of something that is no directory.
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_TCP = 3  # bind and connect
_SCOPES = 3  # abstract sockets and signals of others
_CREATE_VERSION, _RULE_PATH_BENEATH = 1, 1


def version() -> int:
    """Return the version of the kernel's interface, 0 where there is none."""
    try:
        return kernel.call(kernel.LANDLOCK_CREATE_RULESET, None, 0, _CREATE_VERSION)
    except OSError:
        return 0


def handled(known: int) -> int:
    """Return the rights to files that a kernel of version ``known`` judges."""
    return (1 << _RIGHTS.get(known, _ALL_RIGHTS)) - 1


def ruleset(known: int) -> bytes:
    """Return the kernel's description of a set of rules that judges all that version ``known`` can."""
    if known < 4:
        return struct.pack("Q", handled(known))
    if known < 6:
        return struct.pack("QQ", handled(known), _TCP)
    return struct.pack("QQQ", handled(known), _TCP, _SCOPES)


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """Leave this process the files below ``read`` and ``write``, and no others.

    ``no_new_privs`` must be set. What does not exist is skipped.
    """
    known = version()
    description = ruleset(known)
    rules = kernel.call(kernel.LANDLOCK_CREATE_RULESET, description, len(description), 0)
    try:
        for paths, rights in ((read, READ), (write, WRITE)):
            for path in paths:
                _allow(rules, path, rights & handled(known))
        kernel.call(kernel.LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there, or not for us: then there is nothing to allow
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.call(kernel.LANDLOCK_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
