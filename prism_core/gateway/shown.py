"""Parts of a version as `VersionInfo` shows them: plain values that go to JSON as they are."""

from __future__ import annotations

from typing import Any

import msgspec

from prism_core.gateway.replica import Replica
from prism_core.optimization import Optimization


def shown_replica(replica: Replica) -> dict[str, Any]:
    """Return a replica as `VersionInfo` has it."""
    ready = replica.client.ready if replica.client else None
    return {
        "replica": replica.name,
        "pid": replica.handle.pid if replica.handle else None,
        "state": str(replica.state),
        "sandbox": ready.sandbox if ready else "",
        "framework": ready.framework if ready else "",
        "python": ready.python if ready else "",
        "memory_bytes": replica.usage.memory_bytes if replica.usage else None,
        "share_bytes": replica.usage.share_bytes if replica.usage else None,
        "restarts": replica.restarts,
        "last_loss": replica.last_loss,
        "address": replica.handle.address if replica.handle else "",
        "started": replica.started,
    }


def shown_optimization(optimization: Optimization | None) -> dict[str, Any] | None:
    """Return an optimization as `VersionInfo` has it: with the speed-up of each batch size."""
    if optimization is None:
        return None
    shown: dict[str, Any] = msgspec.to_builtins(optimization)
    shown["speedup"] = {rows: round(pace.speedup, 2) for rows, pace in optimization.paces.items()}
    return shown
