"""What this machine has of what containers need, without asking Podman.

Quick, because it is asked at every start: files and the search path, no processes.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

SUB_IDS = (Path("/etc/subuid"), Path("/etc/subgid"))
# Where distributions put what a plain user's PATH may lack: newuidmap, runc.
SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Return PATH with the directories of the system's own programs."""
    known = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*known, *(path for path in SYSTEM_PATHS if path not in known)])


def program(name: str) -> str:
    """Return the path of a program, "" if there is none."""
    return shutil.which(name, path=search_path()) or ""


def missing() -> str:
    """Return "" if containers can be started here, else one sentence why not."""
    if os.environ.get("CONTAINER_HOST"):
        return ""  # another machine's, or a virtual machine's: what this one lacks is no matter
    if not program("podman"):
        return "Podman is not installed (`apt install podman`, or https://podman.io/docs/installation)."
    if sys.platform != "linux" or os.geteuid() == 0:
        return ""
    return missing_of_user(_user(), os.getuid(), SUB_IDS)


def missing_of_user(user: str, uid: int, files: tuple[Path, ...]) -> str:
    """Return why this plain user cannot have rootless containers, "" if they can."""
    for file in files:
        if not _has_range(file, user, uid):
            return (
                f"{file} gives the user {user or uid!r} no ids for containers "
                f"(`sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {user or uid}`)."
            )
    if not program("newuidmap"):
        return "newuidmap is not installed (`apt install uidmap`)."
    return ""


def _has_range(file: Path, user: str, uid: int) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(line.partition(":")[0] in {user, str(uid)} for line in lines if line.count(":") == 2)


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
