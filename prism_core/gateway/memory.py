"""Who must make room, and when there is none. Pure arithmetic over measured values."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from prism_core.errors import InsufficientMemory
from prism_core.manifest import Manifest

MB = 1024 * 1024
# Holders that a message names; details have them all.
SHOWN = 5


@attrs.frozen
class Holding:
    """What one loaded version holds, and what it would cost to do without it.

    Parameters
    ----------
    name
        For instance ``churn/3``.
    size_bytes
        What unloading it gives back.
    idle_s
        Since it was last used.
    frequency
        Its calls, older ones counted for less.
    load_s
        How long its next caller would wait for it.
    busy
        Something is in flight, or it is being loaded or unloaded.
    pinned
        Its owner wants it to stay.
    warm
        It is to stay for a while, and goes after all others.
    """

    name: str
    size_bytes: int
    idle_s: float = 0.0
    frequency: float = 0.0
    load_s: float = 0.0
    busy: bool = False
    pinned: bool = False
    warm: bool = False

    @property
    def may_go(self) -> bool:
        """Whether it may be unloaded now."""
        return not (self.busy or self.pinned)

    @property
    def worth(self) -> float:
        """How much waiting a byte of it spares: recency x frequency x reload cost / bytes."""
        recency = 1.0 / (1.0 + self.idle_s)
        # A version that has not been called yet is not worth nothing: somebody has just loaded it.
        return recency * (1.0 + self.frequency) * max(self.load_s, 0.001) / max(1, self.size_bytes)


def to_unload(holdings: Iterable[Holding], over_bytes: int) -> list[Holding]:
    """Return what to unload so that ``over_bytes`` become free: what is worth the least goes first.

    What is kept warm goes last. Nothing that is busy or pinned; all that may go, where even that is not
    enough.
    """
    chosen: list[Holding] = []
    for holding in sorted(holdings, key=lambda one: (one.warm, one.worth, one.name)):
        if over_bytes <= 0:
            break
        if holding.may_go:
            chosen.append(holding)
            over_bytes -= holding.size_bytes
    return chosen


def needed_bytes(manifest: Manifest, own_bytes: int, replicas: int) -> int:
    """Return what ``replicas`` of a version should need.

    As measured (``own_bytes`` for one); before the first load as its owner told, else by the
    artifact's size.
    """
    return (own_bytes or manifest.memory_estimate_bytes or manifest.size_bytes) * max(1, replicas)


def insufficient(
    name: str, need_bytes: int, limit_bytes: int, holdings: Iterable[Holding]
) -> InsufficientMemory:
    """Return the error that says what holds the memory, the largest first."""
    holders = sorted(holdings, key=lambda one: (-one.size_bytes, one.name))
    used = sum(one.size_bytes for one in holders)
    shown = ", ".join(_described(one) for one in holders[:SHOWN]) or "no model"
    more = f" and {len(holders) - SHOWN} more" if len(holders) > SHOWN else ""
    return InsufficientMemory(
        f"{name!r} needs about {need_bytes / MB:.0f} MB; {used / MB:.0f} of {limit_bytes / MB:.0f} MB "
        f"are in use by {shown}{more}, and none of it may go.",
        hint="Stop or unpin a version, try again when less is in flight, or raise memory.hard_limit.",
        details={
            "needed_bytes": need_bytes,
            "limit_bytes": limit_bytes,
            "holders": [
                {"version": h.name, "bytes": h.size_bytes, "busy": h.busy, "pinned": h.pinned}
                for h in holders
            ],
        },
    )


def _described(holding: Holding) -> str:
    why = "pinned" if holding.pinned else "busy" if holding.busy else ""
    return f"{holding.name} {holding.size_bytes / MB:.0f} MB" + (f" ({why})" if why else "")
