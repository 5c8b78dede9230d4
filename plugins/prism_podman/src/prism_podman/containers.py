"""Podman's calls about containers, one function each. Synchronous: for `Engine.call`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs

from prism_core.plugin import LaunchFailed, Usage

# Podman looks in such steps whether a container that is waited for has ended.
LOOK = "10ms"
REMOVALS, REMOVAL_S = 20, 0.1


@attrs.frozen
class Made:
    """A container that was started; ``pid`` is 0 if it has ended already, ``port`` if it publishes none."""

    id: str
    pid: int
    port: int = 0


@attrs.frozen
class Ended:
    """How a container ended: its exit code, and whether Podman says that memory was the reason."""

    code: int
    oom: bool


def make(client: Any, keywords: Mapping[str, Any]) -> Made:
    """Create a container and start it.

    Raises
    ------
    LaunchFailed
        With Podman's words; nothing is left then.
    """
    from podman.errors import PodmanError
    from requests import HTTPError

    given = dict(keywords)
    image, command = given.pop("image"), given.pop("command")
    try:
        container = client.containers.create(image, command, **given)
    except (PodmanError, HTTPError) as error:
        raise LaunchFailed(f"Podman made no container of {image!r}: {told(error)}", hint=HINT) from error
    try:
        container.start()
        container.reload()
    except (PodmanError, HTTPError) as error:
        with suppress(PodmanError, HTTPError):
            container.remove(force=True, v=True)
        raise LaunchFailed(f"Podman did not start the container: {told(error)}", hint=HINT) from error
    return Made(container.id, int(container.attrs["State"].get("Pid") or 0), _port(container.attrs))


HINT = "`prism podman doctor` says what this machine lacks."


def told(error: Exception) -> str:
    """Return what Podman said, without what HTTP adds to it."""
    return str(getattr(error, "explanation", None) or error).rstrip(". ")


def _port(attributes: Mapping[str, Any]) -> int:
    published = (attributes.get("NetworkSettings") or {}).get("Ports") or {}
    for addresses in published.values():
        for address in addresses or ():
            return int(address["HostPort"])
    return 0


def has_ended(client: Any, container: str) -> bool:
    """Return whether a container has ended, or is not there any more."""
    from podman.errors import NotFound

    try:
        return not client.containers.get(container).attrs["State"]["Running"]
    except NotFound:
        return True


def wait(client: Any, container: str) -> Ended:
    """Wait until a container has ended; return how. -1: it is not there any more."""
    from podman.errors import NotFound

    try:
        one = client.containers.get(container)
        code = one.wait(condition=["stopped", "exited"], interval=LOOK)
        state = one.inspect()["State"]
        return Ended(int(code), bool(state.get("OOMKilled")))
    except NotFound:
        return Ended(-1, oom=False)


def usage(client: Any, container: str) -> Usage | None:
    """Return what Podman measures of a container, None when it has ended or cannot be measured."""
    from podman.errors import APIError

    try:
        found = client.containers.get(container).stats(stream=False, decode=True)["Stats"][0]
    except (APIError, KeyError, IndexError, TypeError):
        return None
    return Usage(int(found["MemUsage"]), int(found["CPUNano"]) / 1e9)


def signal(client: Any, container: str, name: str) -> None:
    """Send a signal to a container; one that has ended, or is gone, is fine."""
    from podman.errors import APIError

    with suppress(APIError):
        client.containers.get(container).kill(signal=name)


def remove(client: Any, container: str) -> None:
    """Kill and remove a container with all that is its own; one that is gone is fine."""
    from podman.errors import APIError, NotFound

    for attempt in range(REMOVALS):
        try:
            client.containers.get(container).remove(force=True, v=True)
            return
        except NotFound:
            return
        except APIError:  # Podman cleans up after each container that ends: for a moment both are at it
            if attempt == REMOVALS - 1:
                raise
            time.sleep(REMOVAL_S)


def listed(client: Any, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what Podman's list says of containers with all of these labels, ended ones too.

    A label without a value is one that must be there.
    """
    # A dict of lists would match nothing.
    filters = [f"label={name}={value}" if value else f"label={name}" for name, value in labels.items()]
    return [dict(one.attrs) for one in client.containers.list(all=True, filters=filters)]
