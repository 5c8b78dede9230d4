"""What is shown of environments: those of a server, and what one version runs with, pin by pin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs

from prism_core.environment import SERVER, Pin, Requirement
from prism_core.environments.disk import size_bytes
from prism_core.gateway.operate import Operator
from prism_core.gateway.registry import Version


@attrs.frozen
class EnvironmentInfo:
    """One environment, as it is listed.

    ``size_bytes`` are its own bytes on disk, ``shared_bytes`` those of files that are linked elsewhere too:
    in uv's cache and in other environments. Both are 0 for the server's own. ``problem`` is why it has to
    be built again, "" where it is whole.
    """

    key: str
    python_version: str
    packages: int
    versions: list[str]
    size_bytes: int = 0
    shared_bytes: int = 0
    problem: str = ""


@attrs.frozen
class PinInfo:
    """One package: ``source`` is "index", or "server" for what this server made of its own code."""

    name: str
    version: str
    reason: str
    source: str


@attrs.frozen
class RequirementInfo:
    """What was required, as PEP 508 writes it, and why."""

    requirement: str
    reason: str
    strict: bool


@attrs.frozen
class VersionEnvironment:
    """What a version runs with."""

    model: str
    version: int
    key: str
    python_version: str
    requirements: list[RequirementInfo]
    pins: list[PinInfo]


async def environments(operator: Operator) -> list[EnvironmentInfo]:
    """Return all environments of a server, its own first, by key."""
    users: dict[str, list[str]] = {}
    for version in operator.registry.versions():
        users.setdefault(version.manifest.environment, []).append(version.name)
    listed = await asyncio.to_thread(_listed, operator, users)
    return [*await _servers(operator, users.get(SERVER, [])), *listed]


async def _servers(operator: Operator, names: list[str]) -> list[EnvironmentInfo]:
    if not names:
        return []
    used = [v for v in operator.registry.versions() if v.manifest.environment == SERVER]
    pins = {pin.name for v in used for pin in (await operator.packages.described(v.manifest)).pins}
    python = (await operator.packages.described(used[0].manifest)).python_version
    return [EnvironmentInfo(SERVER, python, len(pins), sorted(names))]


def _listed(operator: Operator, users: dict[str, list[str]]) -> list[EnvironmentInfo]:
    disk = operator.packages.environments.disk
    return [
        EnvironmentInfo(
            found.key,
            found.python_version,
            len(found.pins),
            sorted(users.get(found.key, [])),
            *_size(disk.root(found.key)),
            disk.problem(found),
        )
        for found in disk.environments()
    ]


def _size(root: Path) -> tuple[int, int]:
    try:
        return size_bytes(root)
    except OSError:  # it is being removed
        return 0, 0


async def environment_of(operator: Operator, version: Version) -> VersionEnvironment:
    """Return what a version runs with.

    Raises
    ------
    EnvironmentFailed
        If nobody knows any more.
    """
    manifest = version.manifest
    found = await operator.packages.described(manifest)
    return VersionEnvironment(
        manifest.model,
        manifest.version,
        found.key,
        found.python_version,
        [_requirement(one) for one in manifest.requirements],
        [_pin(pin) for pin in found.pins],
    )


def _requirement(one: Requirement) -> RequirementInfo:
    return RequirementInfo(one.pep508, one.reason, one.strict)


def _pin(pin: Pin) -> PinInfo:
    return PinInfo(pin.name, pin.version, pin.reason, "server" if pin.wheel else "index")
