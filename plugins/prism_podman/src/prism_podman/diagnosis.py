"""What is wrong with Podman here, and how to put it right. Pure, but for `trial` at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs

from prism_core.plugin import LaunchFailed
from prism_podman import containers
from prism_podman.config import PodmanConfig
from prism_podman.creating import Bounds, limits, walls
from prism_podman.engine import Engine
from prism_podman.facts import Facts, listed
from prism_podman.ids import IMAGE_OWNER, ids

OK, PROBLEM, MISSING = "ok", "problem", "missing"
# Before that its API lacks what is asked of it.
OLDEST = (4, 0)
COPIES = ("vfs",)


@attrs.frozen
class Finding:
    """One look: at what, how it is, in words, and how to better it.

    ``state`` is "ok", "problem" (it works, with less) or "missing" (nothing works without it).
    """

    name: str
    state: str
    detail: str
    hint: str = ""


def findings(facts: Facts, found: Callable[[str], str], config: PodmanConfig) -> Iterator[Finding]:
    """Yield what follows from what Podman says of itself; ``found`` returns the path of a program."""
    yield _version(facts)
    yield _whose(facts)
    yield _users(facts)
    yield _bounds(facts)
    yield _runtime(facts)
    yield _storage(facts)
    yield _address(facts, found, config)


def _version(facts: Facts) -> Finding:
    numbers = facts.version.split("-")[0].split(".")
    if tuple(int(number) for number in numbers[:2] if number.isdecimal()) < OLDEST:
        return Finding("version", MISSING, f"Podman {facts.version}", "PRISM needs Podman 4 or newer.")
    return Finding("version", OK, f"Podman {facts.version}")


def _whose(facts: Facts) -> Finding:
    if facts.rootless:
        return Finding("rootless", OK, "its service has no more rights than its user")
    hint = "As a plain user PRISM starts a Podman of that user's own."
    return Finding("rootless", PROBLEM, "its service runs as root: there is one wall less", hint)


def _users(facts: Facts) -> Finding:
    if not facts.rootless:
        return Finding("users", OK, "each model has 65536 users of its own")
    if facts.numbers > IMAGE_OWNER:
        return Finding("users", OK, "each model has 256 users of its own, none of which is you")
    return Finding(
        "users",
        PROBLEM,
        f"there are only {facts.numbers} numbers for users: models share a user namespace with each other",
        "Give the account 65536: sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 USER; "
        "then: podman system migrate",
    )


def _bounds(facts: Facts) -> Finding:
    if not facts.unbounded:
        return Finding("limits", OK, f"memory, cpu and pids are enforced by control groups {facts.cgroup}")
    detail = f"{listed(facts.unbounded)} cannot be bounded by control groups {facts.cgroup}"
    left = "The process's own limits and the server's look at its memory hold instead."
    if facts.cgroup == "v1":
        return Finding("limits", PROBLEM, detail, f"{left} Boot with systemd.unified_cgroup_hierarchy=1.")
    hint = f"{left} Delegate them: systemctl edit user@.service, [Service] Delegate=yes."
    return Finding("limits", PROBLEM, detail, hint)


def _runtime(facts: Facts) -> Finding:
    return Finding("runtime", OK, facts.runtime)


def _storage(facts: Facts) -> Finding:
    if facts.driver not in COPIES:
        return Finding("storage", OK, facts.driver)
    return Finding(
        "storage",
        PROBLEM,
        f"{facts.driver} copies the whole image at every start",
        'Put driver = "overlay" below [storage] in ~/.config/containers/storage.conf, then, which removes '
        "all images and containers: podman system reset",
    )


def _address(facts: Facts, found: Callable[[str], str], config: PodmanConfig) -> Finding:
    if config.address == "unix":
        if not facts.remote:
            return Finding("address", OK, "unix: by a socket, without any network")
        hint = "Set plugins.podman.address to tcp."
        return Finding("address", MISSING, "a socket of another machine cannot be reached from here", hint)
    detail = "tcp: by a port on 127.0.0.1; a model can open connections to the network"
    if facts.rootless and not facts.remote and not any(map(found, ("slirp4netns", "pasta"))):
        return Finding("address", MISSING, detail, "Install slirp4netns (or passt), which publishes ports.")
    return Finding("address", PROBLEM, detail, "unix has no network at all.")


async def trial(engine: Engine, image: str, python: str) -> Finding:
    """Start a container with all walls, on an image that is there, and tell how it went."""
    facts = engine.facts
    begun = time.perf_counter()
    keywords = trial_keywords(facts, image, python)
    try:
        made = await engine.call(partial(containers.make, keywords=keywords))
    except LaunchFailed as error:
        return Finding("trial", MISSING, error.message, error.hint)
    took_ms = (time.perf_counter() - begun) * 1000
    try:
        ended = await engine.call(partial(containers.wait, container=made.id))
    finally:
        await engine.call(partial(containers.remove, container=made.id))
    if ended.code:
        return Finding("trial", MISSING, f"a container on {image} ended with {ended.code}")
    return Finding("trial", OK, f"a container behind all walls started in {took_ms:.0f} ms")


def trial_keywords(facts: Facts, image: str, python: str) -> dict[str, Any]:
    """Return what a container is tried with: as a replica's, and nothing to do."""
    memory = 256 * 1024 * 1024
    bounds = Bounds(memory_bytes=memory, cpus=1, processes=64, tmp_bytes=memory, file_bytes=memory)
    return {
        **ids(0, facts.rootless, facts.numbers).arguments(),
        **walls(),
        **limits(bounds, facts),
        "network_mode": "none",
        "image": image,
        "entrypoint": [python],
        "command": ["-I", "-S", "-c", "pass"],
        "log_config": {"Type": "json-file"},
    }
