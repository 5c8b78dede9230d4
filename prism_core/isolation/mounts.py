"""A mount namespace of its own: what a view names, read only, and an empty /tmp. Nothing else is there.

Needs CAP_SYS_ADMIN in the user namespace that the mounts belong to, as `bubblewrap` leaves it
to what it starts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from prism_core.isolation import kernel
from prism_core.isolation.syscalls import this_machine
from prism_core.isolation.view import DEVICES, View

# Where the new root is put together; the tmpfs hides what is there from this process only.
_ROOT = Path("/tmp")
_ROOT_OPTIONS = "size=1m,nr_inodes=16k,mode=755"
_TMP_INODES = 4096
_PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV
_READ = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
_WRITE = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV


def enter(view: View, tmp_bytes: int) -> None:
    """Let this process see ``view``, a few devices, itself in /proc, and a /tmp of ``tmp_bytes``.

    Its capabilities are left in a user namespace to which nothing belongs.
    """
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)  # of the old root: the new one is read only
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        # Copies first: the new root may hide where they come from.
        trees = [
            *_copies(view.read, _READ),
            *_copies(DEVICES, kernel.MOUNT_ATTR_NOSUID),
            *_copies(view.write, _WRITE),
        ]
        kernel.mount("tmpfs", _ROOT, _PLAIN, _ROOT_OPTIONS)
        private = _PLAIN | kernel.MS_NOEXEC
        # Processes that this one may not trace are not listed: none but itself.
        _mount("proc", "proc", private | kernel.MS_RDONLY, "hidepid=ptraceable")
        _mount("tmpfs", "tmp", private, f"size={tmp_bytes},nr_inodes={_TMP_INODES},mode=1777")
        for path, tree in trees:  # last: some may lie below /tmp
            _attach(tree, f"{_ROOT}{path}")
        kernel.change_root(this_machine().numbers["pivot_root"], _ROOT)
        kernel.mount("", Path("/"), kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _PLAIN)
        _leave_user_namespace(proc)
    finally:
        os.close(proc)


def _copies(paths: tuple[str, ...], attributes: int) -> Iterator[tuple[str, int]]:
    for path in paths:
        try:
            yield path, kernel.clone_tree(path, attributes)
        except OSError:  # it is not there, or not for this account: then it is not seen either
            continue


def _attach(tree: int, target: str) -> None:
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    kernel.attach_tree(tree, target)
    os.close(tree)


def _mount(kind: str, name: str, flags: int, options: str) -> None:
    target = _ROOT / name
    target.mkdir(exist_ok=True)
    kernel.mount(kind, target, flags, options)


def _leave_user_namespace(proc: int) -> None:
    """Take a user namespace of its own, with the same ids.

    The mounts stay behind in the other one, out of reach; processes and threads are counted
    anew, for this process alone.
    """
    identity = {"uid_map": os.getuid(), "gid_map": os.getgid()}
    kernel.unshare(kernel.CLONE_NEWUSER)
    _write(proc, "self/setgroups", "deny")
    for name, number in identity.items():
        _write(proc, f"self/{name}", f"{number} {number} 1")


def _write(directory: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
