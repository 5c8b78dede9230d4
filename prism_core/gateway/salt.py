"""What tells the answers of one version from all others, also in a store that outlives this process.

Such a store may hold the answers of yesterday's scikit-learn, or of another server. So a salt
holds what an answer depends on: the artifact, how it was asked to be loaded, and the versions
of the code that reads, computes and writes. How a version is run here is left out.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

import msgspec

from prism_core import __version__
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet

# Say how a version is run, and nothing about what it answers.
_RUN = {
    "batching",
    "created",
    "idle_unload_s",
    "isolation",
    "memory_estimate_bytes",
    "max_replicas",
    "memory_limit_bytes",
    "min_replicas",
    "pin",
    "preload",
    "replicas",
    "requirements",
    "timeout_s",
    "warnings",
}


def salt_of(manifest: Manifest, code: str) -> bytes:
    """Return the bytes that tell a version's answers, computed by ``code``, from all others."""
    facts = {name: fact for name, fact in msgspec.to_builtins(manifest).items() if name not in _RUN}
    return msgspec.json.encode({"code": code, **facts}, order="deterministic")


def code_of(plugins: PluginSet, loader: str) -> str:
    """Return the versions of everything that takes part in an answer of ``loader``."""
    distributions = {"prism-core"}
    if loader in plugins.loaders:
        names = (reference.partition("=")[0] for reference in plugins.runtime_plugins(loader))
        distributions |= {plugins.plugins[name].distribution for name in names}
    needed = {need for distribution in distributions for need in _requirements(distribution)}
    versions = {name: _version(name) for name in distributions | needed}
    found = " ".join(f"{name}={version}" for name, version in sorted(versions.items()) if version)
    return f"prism={__version__} python={platform.python_version()} {platform.machine()} {found}"


def _requirements(distribution: str) -> Iterator[str]:
    """Yield what a distribution always needs; extras are not asked for."""
    try:
        requirements = metadata.requires(distribution) or []
    except (metadata.PackageNotFoundError, ValueError):  # a plugin may belong to no distribution
        return
    for requirement in requirements:
        name, _, marker = requirement.partition(";")
        if "extra" not in marker:
            yield re.split(r"[^A-Za-z0-9._-]", name, maxsplit=1)[0].lower()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
