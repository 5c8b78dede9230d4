"""System calls for which Python has no function. Linux only; nothing here decides anything."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

# The numbers of newer calls are the same on every architecture.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446

CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | bytes | None) -> int:
    """Make the system call ``number``; raises OSError as `os` does."""
    words = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(ctypes.c_int(option), *map(ctypes.c_ulong, padded)))


def unshare(flags: int) -> None:
    """Leave namespaces that are shared with the parent."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(kind: str, target: Path, flags: int, options: str = "") -> None:
    """Mount a new file system of ``kind``, or change the flags of the one that is there."""
    name = kind.encode() or None
    options_ = options.encode() or None
    _checked(_libc.mount(name, os.fsencode(target), name, ctypes.c_ulong(flags), options_))


def clone_tree(path: str, attributes: int) -> int:
    """Return a descriptor of a copy of what is mounted at and below ``path``, with ``attributes`` set."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    tree = call(OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    change = struct.pack("QQQQ", attributes, 0, 0, 0)
    try:
        call(MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, change, len(change))
    except OSError:
        os.close(tree)
        raise
    return tree


def attach_tree(tree: int, target: str) -> None:
    """Mount what `clone_tree` returned at ``target``."""
    call(MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


def change_root(pivot_root: int, root: Path) -> None:
    """Make ``root``, a mount, the root of this mount namespace, and let go of the old one."""
    os.chdir(root)
    call(pivot_root, b".", b".")  # the old root lies over the new one now
    _checked(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability of this process."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, bytes(24)))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def set_no_new_privileges() -> None:
    """Let no program that is started give this process more rights."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
