"""An InferenceService of KServe for an image that `prism export` made. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

from prism_core.bundle import Bundle
from prism_core.cli.exporting.alone import LIVE, PORT, READY

# KServe finds a custom predictor by this name of its container.
CONTAINER = "kserve-container"
# How long a model may take to load before it counts as broken, at ten seconds a try.
LIVE_FAILURES = 12
MB = 1 << 20


def manifest_of(bundle: Bundle, image: str) -> dict[str, Any]:
    """Return the manifest of a version whose image has the name ``image``."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name_of(bundle.model),
            "annotations": {
                "prism/model": f"{bundle.model}/{bundle.version}",
                "prism/digest": bundle.artifact.digest,
            },
        },
        "spec": {"predictor": predictor_of(bundle, image)},
    }


def predictor_of(bundle: Bundle, image: str) -> dict[str, Any]:
    """Return the predictor: how many there are, and the container."""
    config = bundle.config
    fewest = config.replicas if config.min_replicas is None else config.min_replicas
    most = config.replicas if config.max_replicas is None else config.max_replicas
    return {
        "minReplicas": fewest,
        "maxReplicas": max(1, fewest, most),
        "timeout": math.ceil(config.timeout_s),
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
                "readinessProbe": _probe(READY, period_s=5, failures=3),
                "livenessProbe": _probe(LIVE, period_s=10, failures=LIVE_FAILURES),
                "resources": resources_of(bundle),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def resources_of(bundle: Bundle) -> dict[str, Any]:
    """Return what the container asks for, and what it may have at most."""
    cpu = str(bundle.config.threads)
    limits = {"cpu": cpu}
    if bundle.config.memory_limit_bytes:
        limits["memory"] = f"{math.ceil(bundle.config.memory_limit_bytes / MB)}Mi"
    return {"requests": {"cpu": cpu}, "limits": limits}


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def name_of(model: str) -> str:
    """Return a model's name as Kubernetes takes it: letters, digits and '-', a letter first, 63 at most."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return (name if name[:1].isalpha() else f"m-{name}")[:63].rstrip("-")
