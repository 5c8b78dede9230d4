"""Models and versions as `ModelInfo` and `VersionInfo` show them: plain values that are JSON as they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from prism_core.gateway.registry import LATEST, Model, Version
from prism_core.gateway.replica import Replica
from prism_core.gateway.traffic.replica_circuits import ReplicaCircuits
from prism_core.gateway.traffic.showing import traffic_of
from prism_core.gateway.views import ModelInfo, VersionInfo
from prism_core.optimization import Optimization

if TYPE_CHECKING:
    from prism_core.gateway.gateway import Gateway


def model_info(gateway: Gateway, model: Model) -> ModelInfo:
    """Return a model as `ModelInfo` has it."""
    versions = [version_info(gateway, model.versions[number]) for number in sorted(model.versions)]
    url = f"{gateway.public_url}/model/{model.name}/predict"
    problem = gateway.problems.get(model.name, "")
    return ModelInfo(model.name, model.aliases, versions, url, problem, model.route is not None)


def version_info(gateway: Gateway, version: Version) -> VersionInfo:
    """Return a version as `VersionInfo` has it."""
    manifest, model = version.manifest, gateway.registry.models.get(version.manifest.model)
    aliases = [a for a, n in model.aliases.items() if n == manifest.version] if model else []
    routed = model is not None and model.route is not None
    short = LATEST in aliases and not routed
    route = manifest.model if short else f"{manifest.model}/versions/{manifest.version}"
    crew = gateway.operator.supervisor.crews.get((manifest.model, manifest.version))
    circuits = gateway.traffic.circuits.replicas
    if crew:
        crew.look(time.time())
    return VersionInfo(
        model=manifest.model,
        version=manifest.version,
        state=str(version.state),
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        loader=manifest.loader,
        artifact=manifest.artifact,
        created=manifest.created,
        options=manifest.options,
        isolation=manifest.isolation,
        aliases=aliases,
        signature=msgspec.to_builtins(version.signature) if version.signature else None,
        warnings=list(manifest.warnings),
        error=version.error,
        url=f"{gateway.public_url}/model/{route}/predict",
        replicas=[shown_replica(replica, circuits) for replica in crew.replicas] if crew else [],
        loaded=bool(crew and crew.ready),
        last_used=version.use.last or None,
        optimization=shown_optimization(manifest.optimization),
        environment=manifest.environment,
        description=manifest.description,
        routed=routed,
        traffic=traffic_of(gateway.registry, version),
        warm_until=version.use.warm_until or None,
    )


def shown_replica(replica: Replica, circuits: ReplicaCircuits) -> dict[str, Any]:
    """Return a replica as `VersionInfo` has it."""
    manifest, address = replica.manifest, replica.client.address if replica.client else ""
    ready = replica.client.ready if replica.client else None
    return {
        "replica": replica.name,
        "pid": replica.handle.pid if replica.handle else None,
        "state": str(replica.state),
        "circuit": str(circuits.of(manifest.model, manifest.version, address)),
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
