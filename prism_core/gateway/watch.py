"""Who hears what happens to replicas: events and metrics are told, followers too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import attrs

from prism_core.errors import ModelNotFound, PrismError
from prism_core.gateway.followers import Followers
from prism_core.gateway.observe import Metrics
from prism_core.gateway.registry import Registry, Version
from prism_core.manifest import Manifest


@attrs.define(eq=False)
class Watch:
    """Tells of lost replicas: events, metrics, and a failed version."""

    registry: Registry
    metrics: Metrics
    followers: Followers
    fail: Callable[[Version, PrismError], None] = lambda version, error: None

    def lost(self, manifest: Manifest, replica: str, reason: str) -> None:
        """Tell of a loss."""
        self.registry.tell("replica.lost", manifest.model, manifest.version, replica=replica, reason=reason)

    def restarted(self, manifest: Manifest, replica: str, restarts: int) -> None:
        """Tell and count a restart."""
        self.metrics.restarts.labels(manifest.model, str(manifest.version)).inc()
        self.registry.tell(
            "replica.restarted", manifest.model, manifest.version, replica=replica, restarts=restarts
        )

    def failed(self, manifest: Manifest, error: PrismError) -> None:
        """Take the version out of service."""
        with suppress(ModelNotFound):
            self.fail(self.registry.version(manifest.model, manifest.version), error)

    def disappointed(self, manifest: Manifest, error: PrismError) -> None:
        """Tell the followers."""
        self.followers.disappoint(manifest.model, manifest.version, error)

    def moved(self) -> None:
        """Tell the followers."""
        self.followers.changed()

    async def quiet(self, timeout_s: float) -> float:
        """Ask the followers."""
        return await self.followers.quiet(timeout_s)

    async def elsewhere(self) -> Mapping[tuple[str, int], int]:
        """Ask the followers."""
        return await self.followers.in_flight()
