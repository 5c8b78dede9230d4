"""What Podman says of itself and its machine, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from prism_podman import ids

# The name of the sandbox's level, as `prism show` has it.
CONTAINER = "container"


@attrs.frozen
class Facts:
    """What ``GET /info`` answered.

    Parameters
    ----------
    controllers
        The controllers of control groups that Podman may use.
    numbers
        How many users and groups its user namespaces may have in all, 0 for root's Podman.
    remote
        Whether it is on another machine, or in a virtual one: then no process of it is seen here.
    """

    version: str
    rootless: bool
    cgroup: str
    controllers: frozenset[str]
    runtime: str
    driver: str
    memory_bytes: int
    numbers: int = 0
    remote: bool = False

    def bounds(self, controller: str) -> bool:
        """Whether bounds of ``memory``, ``cpu`` or ``pids`` hold: without root not under cgroup v1."""
        if self.cgroup == "v1" and self.rootless:
            return False
        return controller in self.controllers

    @property
    def unbounded(self) -> tuple[str, ...]:
        """The bounds that cannot be had here."""
        return tuple(name for name in ("memory", "cpu", "pids") if not self.bounds(name))

    @property
    def level(self) -> str:
        """How a replica is shut in, in the words that `prism show` has for it."""
        missing = [f"{listed(self.unbounded)} limits"] if self.unbounded else []
        if self.rootless and self.numbers <= ids.IMAGE_OWNER:
            missing.append("a user namespace of its own")
        return f"{CONTAINER}, without {listed(missing)}" if missing else CONTAINER


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def facts_of(info: dict[str, Any], kernel: str = "") -> Facts:
    """Read what ``GET /info`` answered; ``kernel`` is this machine's.

    The address does not tell whether Podman is on this machine: the socket of a virtual one's lies here.
    """
    host = info["host"]
    mapping = (host.get("idMappings") or {}).get("uidmap")
    return Facts(
        version=info["version"]["Version"],
        rootless=host["security"]["rootless"],
        cgroup=host["cgroupVersion"],
        controllers=frozenset(host.get("cgroupControllers") or ()),
        runtime=host["ociRuntime"]["name"],
        driver=info["store"]["graphDriverName"],
        memory_bytes=int(host.get("memTotal", 0)),
        numbers=ids.available(mapping),
        remote=host.get("kernel", "") != kernel,
    )
