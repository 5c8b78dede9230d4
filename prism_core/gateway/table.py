"""What another gateway process has to know to serve the same models: the registry as plain values.

The leader compares what it has now with what a follower was told before, and sends the
models that differ. Pure: no socket, no loop.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from prism_core.gateway.registry import Model, Version
from prism_core.manifest import Manifest
from prism_core.traffic.route import Route
from prism_core.types import Signature


class SharedVersion(msgspec.Struct, array_like=True, frozen=True):
    """One version.

    ``served``: it takes predictions. ``replicas`` are address and token of those that are ready,
    ``load_s`` is how long the last load took.
    """

    manifest: Manifest
    signature: Signature | None
    state: str
    error: str
    served: bool
    replicas: tuple[tuple[str, str], ...]
    load_s: float = 0.0


class SharedModel(msgspec.Struct, array_like=True, frozen=True):
    """One model; fields as in `prism_core.gateway.registry.Model`."""

    name: str
    last_version: int
    ceiling: int | None
    named: dict[str, int]
    versions: tuple[SharedVersion, ...]
    route: Route | None = None
    revision: int = 0


Table = Mapping[str, SharedModel]
Changes = dict[str, SharedModel | None]


def table_of(models: Mapping[str, Model]) -> dict[str, SharedModel]:
    """Return the models of a registry as they are now."""
    return {name: _shared(model) for name, model in models.items()}


def changes(before: Table, after: Table) -> Changes:
    """Return the models of ``after`` that are not the same in ``before``; None for those that are gone."""
    gone: Changes = dict.fromkeys(before.keys() - after.keys())
    return gone | {name: model for name, model in after.items() if before.get(name) != model}


def changed(before: Table, some: Changes) -> dict[str, SharedModel]:
    """Return ``before`` with the changes made: the inverse of `changes`."""
    after = {**before, **some}
    return {name: model for name, model in after.items() if model is not None}


def _shared(model: Model) -> SharedModel:
    versions = tuple(_version(version) for version in model.versions.values())
    return SharedModel(
        model.name,
        model.last_version,
        model.ceiling,
        dict(model.named),
        versions,
        model.route,
        model.revision,
    )


def _version(version: Version) -> SharedVersion:
    lane = version.lane
    return SharedVersion(
        version.manifest,
        version.signature,
        str(version.state),
        version.error,
        lane is not None,
        tuple((client.address, client.token) for client in (*lane.clients, *lane.troubles.left_out))
        if lane
        else (),
        lane.load_s if lane else 0.0,
    )
