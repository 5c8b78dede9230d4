"""The memory budget of all replicas together. Pure arithmetic over measured values."""

from __future__ import annotations

from collections.abc import Mapping

from prism_core.errors import InsufficientMemory
from prism_core.manifest import Manifest

MB = 1024 * 1024


def estimate_bytes(manifest: Manifest) -> int:
    """Return what the replicas of a version are expected to need: as told, or by the artifact's size."""
    return (manifest.memory_estimate_bytes or manifest.size_bytes) * max(1, manifest.replicas)


def check_room(manifest: Manifest, measured: Mapping[str, int], hard_limit: int) -> None:
    """Let a version start only if it should fit.

    Parameters
    ----------
    measured
        Bytes of each running replica by its name.
    hard_limit
        Bytes of all replicas together, 0 for no limit.

    Raises
    ------
    InsufficientMemory
        With what holds the memory, the largest first.
    """
    needed, used = estimate_bytes(manifest), sum(measured.values())
    if not hard_limit or used + needed <= hard_limit:
        return
    holders = sorted(measured.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in holders[:5]) or "no replica"
    raise InsufficientMemory(
        f"{manifest.model!r} needs about {needed / MB:.0f} MB; {used / MB:.0f} of {hard_limit / MB:.0f} MB "
        f"are in use by {shown}.",
        hint="Stop a version, or raise memory.hard_limit in prism.yaml.",
        details={"needed_bytes": needed, "limit_bytes": hard_limit, "replicas": dict(holders)},
    )
