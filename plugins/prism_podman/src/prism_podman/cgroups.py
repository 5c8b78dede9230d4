"""A container's control group, where this process may read it: what it uses, whether memory ended it."""

from __future__ import annotations

from pathlib import Path

import attrs

from prism_core.plugin import Usage

ROOT = Path("/sys/fs/cgroup")


@attrs.frozen
class Group:
    """The directories of one container's group; ``cpu`` and ``memory`` are one under version 2."""

    memory: Path
    cpu: Path
    version: int

    def usage(self) -> Usage:
        """Return what is charged to it, without what the kernel would drop at once.

        Raises
        ------
        OSError
            If it is gone.
        """
        if self.version == 2:
            charged = _number(self.memory / "memory.current")
            idle = _fields(self.memory / "memory.stat").get("inactive_file", 0)
            return Usage(max(0, charged - idle), _fields(self.cpu / "cpu.stat")["usage_usec"] / 1e6)
        charged = _number(self.memory / "memory.usage_in_bytes")
        idle = _fields(self.memory / "memory.stat").get("total_inactive_file", 0)
        return Usage(max(0, charged - idle), _number(self.cpu / "cpuacct.usage") / 1e9)

    def killed(self) -> bool:
        """Return whether the kernel has ended a process of it for memory.

        Can be asked for a few milliseconds after the end, then the group is gone.
        """
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        try:
            return _fields(self.memory / name).get("oom_kill", 0) > 0
        except OSError:
            return False


def group_of(pid: int, container: str, root: Path = ROOT, proc: Path = Path("/proc")) -> Group | None:
    """Return the group of a container's process, None where it has none of its own."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    own = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if container in path:
            own[controllers] = root / controllers / path.lstrip("/")
    if "" in own and not any("memory" in names.split(",") for names in own):
        return Group(own[""], own[""], 2)
    found = {name: path for names, path in own.items() for name in names.split(",")}
    if "memory" in found and "cpuacct" in found:
        return Group(found["memory"], found["cpuacct"], 1)
    return None


def _number(path: Path) -> int:
    return int(path.read_text())


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
