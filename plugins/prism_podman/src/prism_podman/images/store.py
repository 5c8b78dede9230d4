"""Podman's side of images: look, load, import, pull, remove. Plain calls of a client, for a thread.

podman-py has no call to import, and drops what a service says besides; so these are its API's own
requests. Everything that goes wrong is an `EnvironmentFailed` with what can be done about it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import attrs

from prism_core.plugin import EnvironmentFailed
from prism_podman.images import oci
from prism_podman.images.containerfile import KIND, LAYERS, REPOSITORY
from prism_podman.images.oci import Beneath
from prism_podman.images.spooling import CHUNK_BYTES, packed

Tell = Callable[[str], None]

# Podman says nothing while it copies large layers to a slow disk.
SILENT_S = 1800.0
TAR = {"Content-type": "application/x-tar"}
# How often, and after which pause, what fails because of others who remove images is asked again.
LISTINGS, LISTING_S = 5, 0.2


@attrs.frozen
class Stored:
    """An image that Podman has. What `labelled` gives knows when it was made, and not what it is made of."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    created: float = 0.0
    beneath: Beneath = attrs.field(factory=lambda: Beneath((), {}, ""))


# --- look ---------------------------------------------------------------------------------


def exists(client: Any, name: str) -> bool:
    """Return whether there is an image of that name or id."""
    return bool(client.api.get(f"/images/{name}/exists").status_code == 204)


def inspect(client: Any, name: str) -> Stored | None:
    """Return an image, None if it is not there; nothing is pulled."""
    with told("looking at", name):
        response = client.api.get(f"/images/{name}/json")
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return _inspected(response.json())


def _inspected(found: Mapping[str, Any]) -> Stored:
    config = found.get("Config") or {}
    layers = tuple(found["RootFS"]["Layers"])
    return Stored(
        found["Id"],
        tuple(found.get("RepoTags") or ()),
        config.get("Labels") or {},
        int(found.get("Size") or 0),
        beneath=Beneath(layers, config, found["Architecture"]),
    )


def expected(client: Any, name: str) -> Stored:
    """Return an image that was there a moment ago."""
    found = inspect(client, name)
    if found is None:
        raise EnvironmentFailed(f"The image {name} is gone.", hint="Was it removed meanwhile? Try again.")
    return found


def labelled(client: Any) -> list[Stored]:
    """Return the images that PRISM made, of all servers."""
    with told("listing images with", KIND):
        response = _listed(client)
        response.raise_for_status()
    return [
        Stored(
            one["Id"],
            tuple(one.get("Names") or one.get("RepoTags") or ()),
            one.get("Labels") or {},
            int(one.get("Size") or 0),
            float(one.get("Created") or 0),
        )
        for one in response.json()
    ]


def _listed(client: Any) -> Any:
    """Ask for the images of PRISM; the list fails when one of them is removed meanwhile."""
    parameters = {"filters": json.dumps({"label": [KIND]}), "all": True}
    response = client.api.get("/images/json", params=parameters)
    for _ in range(LISTINGS):
        if "image not known" not in response.text:
            break
        time.sleep(LISTING_S)
        response = client.api.get("/images/json", params=parameters)
    return response


def known_layers(client: Any) -> dict[str, str]:
    """Return the layers of environments' images, digest by key.

    What others' images say is not believed, whatever labels they have: a name on ``localhost`` is
    given on this machine alone.
    """
    own = (one for one in labelled(client) if any(tag.startswith(f"{REPOSITORY}:") for tag in one.tags))
    said = (one.labels.get(LAYERS, "") for one in own)
    pairs = (pair.split("=", 1) for text in said for pair in text.split(",") if "=" in pair)
    return {key: digest for key, digest in pairs}


# --- make ---------------------------------------------------------------------------------


def load(client: Any, parts: Iterable[bytes], name: str) -> None:
    """Load an archive that holds the image ``name``."""
    with told("loading", name):
        response = client.api.post("/images/load", data=parts, headers=TAR, timeout=SILENT_S)
        response.raise_for_status()


def import_root(client: Any, name: str, parts: Iterable[bytes], changes: Sequence[str]) -> str:
    """Make an image of the tar of a root file system, and return its id."""
    parameters = {"reference": name, "changes": list(changes)}
    with told("importing", name):
        response = client.api.post(
            "/images/import", params=parameters, data=parts, headers=TAR, timeout=SILENT_S
        )
        response.raise_for_status()
        return str(response.json()["Id"])


def relabelled(
    client: Any, name: str, beneath: Beneath, variables: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """Make an image of the layers of another one, which says something else of itself."""
    config = oci.configuration(beneath, (), variables, labels, now())
    with packed(oci.archive(name, beneath, (), config)) as parts:
        load(client, parts, name)


def now() -> str:
    """Return the time as images have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def tag(client: Any, image: str, name: str) -> None:
    """Give an image one more name; the image that had it loses it."""
    repository, _, word = name.rpartition(":")
    with told("naming", name):
        client.api.post(f"/images/{image}/tag", params={"repo": repository, "tag": word}).raise_for_status()


def untag(client: Any, name: str) -> None:
    """Take a name away; with its last one an image goes on as long as another needs its layers."""
    client.api.delete(f"/images/{name}")


def export(client: Any, image: str) -> Iterator[bytes]:
    """Yield the root file system of an image as a tar, all layers in one."""
    with told("reading", image):
        container = client.containers.create(image, ["none"])
        try:
            response = client.api.get(f"/containers/{container.id}/export", stream=True, timeout=SILENT_S)
            with closing(response):
                response.raise_for_status()
                yield from response.iter_content(CHUNK_BYTES)
        finally:
            container.remove(force=True, v=True)


def pull(client: Any, name: str, tell: Tell) -> None:
    """Fetch an image from its registry."""
    with told("pulling", name):
        response = client.api.post("/images/pull", params={"reference": name}, stream=True, timeout=SILENT_S)
        with closing(response):
            response.raise_for_status()
            for line in said(response.iter_lines()):
                tell(line)


def said(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield what a pull says; raise `EnvironmentFailed` for an error among it."""
    for line in lines:
        if not line.strip():
            continue
        message = json.loads(line)
        if message.get("error"):
            raise EnvironmentFailed(str(message["error"]))
        yield from (text.strip() for text in message.get("stream", "").splitlines() if text.strip())


# --- remove -------------------------------------------------------------------------------


def remove(client: Any, name: str) -> str:
    """Remove an image and the layers that only it had; return "" or why it stays."""
    response = client.api.delete(f"/images/{name}")
    if response.status_code in (200, 404):
        return ""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError):
        return str(response.text)


# --- errors -------------------------------------------------------------------------------


@contextmanager
def told(doing: str, name: str) -> Iterator[None]:
    """Tell what goes wrong in PRISM's words, with what to do about it."""
    try:
        yield
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"Podman failed while {doing} {name}: {error.message}", hint=hint_of(error.message)
        ) from error
    except (OSError, ValueError) as error:  # those of requests and of podman-py are OSErrors
        reason = getattr(error, "explanation", "") or str(error)
        raise EnvironmentFailed(
            f"Podman failed while {doing} {name}: {reason}", hint=hint_of(str(reason))
        ) from error


def hint_of(reason: str) -> str:
    """Return what can be done about something that Podman said."""
    lower = reason.lower()
    if "no space left" in lower:
        return "Free some space on Podman's disk: `prism podman prune` removes images that nothing uses."
    if any(words in lower for words in ("no such host", "connection refused", "i/o timeout", "unreachable")):
        return "Without a registry: `prism podman base --from-host` makes a base of this machine's Python."
    return "`prism podman doctor` says what is wrong with Podman here."
