"""Places on a network of the test's own: a network namespace each, gone at the end with all that runs in it.

A name carries the process that made it, so what a killed run has left is known, and removed by the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

MARK = "prismnet"
ETC = Path("/etc/netns")
SELF = Path("/proc/thread-self/ns/net")
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_NUMBERS = itertools.count(1)


@attrs.frozen
class Place:
    """A network namespace, as `ip netns` names it."""

    name: str

    @property
    def prefix(self) -> list[str]:
        """The words in front of a command that make it run here, with this place's names of hosts."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *command: str, check: bool = True, **kwargs) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end."""
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, timeout=60, **kwargs)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def ip(self, *lines: str) -> None:
        """Run lines of `ip` here, in one process."""
        self.run("ip", "-batch", "-", input="\n".join(lines))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread open its sockets here. They stay here; the thread returns."""
        with SELF.open("rb") as home, Path(f"/run/netns/{self.name}").open("rb") as here:
            _set_namespace(here.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())

    def knows(self, **files: str) -> None:
        """Give commands that run here files of their own in /etc: ``resolv_conf``, ``hosts``."""
        directory = ETC / self.name
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name.replace("_", ".")).write_text(text)


@contextmanager
def making(*names: str) -> Iterator[list[Place]]:
    """Make empty places; remove them at the end."""
    group = f"{MARK}-{os.getpid()}-{next(_NUMBERS)}"
    places = [Place(f"{group}-{name}") for name in names]
    try:
        for place in places:
            _ip("netns", "add", place.name)
            place.ip("link set lo up")
        yield places
    finally:
        for place in places:
            remove(place.name)


def remove(name: str) -> None:
    """End what runs in a place, and take it away."""
    for pid in _ip("netns", "pids", name, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "delete", name, check=False)
    shutil.rmtree(ETC / name, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove the places of runs that were killed."""
    for name in left_over(_ip("netns", "list").splitlines()):
        remove(name)


def left_over(lines: Iterable[str]) -> Iterator[str]:
    """Return which places in a list of `ip netns` belong to processes that are no more."""
    for line in lines:
        mark, _, rest = line.split(" ")[0].partition("-")
        owner = rest.partition("-")[0]
        if mark == MARK and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            yield line.split(" ")[0]


def missing() -> str:
    """Return "" or why no places can be made here."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root; run it as root: sudo make test"
    for program, package in (("ip", "iproute2"), ("iptables", "iptables"), ("sshd", "openssh-server")):
        if not shutil.which(program):
            return f"{program} is not installed; apt-get install {package}"
    try:
        with making("try"):
            return ""
    except AssertionError as error:
        return f"this machine makes no network namespace: {error}"


def _set_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"ip {arguments}: {done.stderr}"
    return done.stdout
