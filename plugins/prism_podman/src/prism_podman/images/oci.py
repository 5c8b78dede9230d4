"""An image as the Open Container Initiative writes it down: layers, a configuration, a manifest. Pure.

A layer is known by the digest of its tar. So an archive of an image may leave out what the store
has already: the base, and packages of other environments. Podman then copies what is new, once; a
build of the same Containerfile writes each file three times and shares by luck.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prism_podman.images.packing import Entry

_TYPE = "application/vnd.oci.image."


@attrs.frozen
class Blob:
    """A layer's tar; without a ``path`` where Podman has it. ``title`` is what `podman history` calls it."""

    title: str
    digest: str
    path: Path | None = None
    size_bytes: int = 0


@attrs.frozen
class Beneath:
    """What an image stands on.

    ``layers`` are the digests of its layers, ``config`` its configuration: variables, command,
    labels.
    """

    layers: tuple[str, ...]
    config: Mapping[str, Any]
    architecture: str


def configuration(
    base: Beneath,
    blobs: Sequence[Blob],
    variables: Mapping[str, str],
    labels: Mapping[str, str],
    created: str,
) -> dict[str, Any]:
    """Return the configuration of an image; where base and image both say something, the image's stands."""
    config = {name: value for name, value in base.config.items() if value}
    environment = dict(one.split("=", 1) for one in base.config.get("Env") or () if "=" in one) | dict(
        variables
    )
    config["Env"] = [f"{name}={value}" for name, value in environment.items()]
    config["Labels"] = {**(base.config.get("Labels") or {}), **labels}
    below = [{"created": created, "created_by": "base"} for _ in base.layers]
    return {
        "created": created,
        "architecture": base.architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [*base.layers, *(blob.digest for blob in blobs)]},
        "history": below + [{"created": created, "created_by": blob.title} for blob in blobs],
    }


def archive(name: str, base: Beneath, blobs: Sequence[Blob], config: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the files of an archive of the image ``name``, without the layers that Podman has already.

    The base's are among these; nobody reads their sizes, which are 0.
    """
    below = [{"mediaType": f"{_TYPE}layer.v1.tar", "digest": digest, "size": 0} for digest in base.layers]
    own = [
        {"mediaType": f"{_TYPE}layer.v1.tar", "digest": blob.digest, "size": blob.size_bytes}
        for blob in blobs
    ]
    settings = json.dumps(config)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}manifest.v1+json",
            "config": _described(f"{_TYPE}config.v1+json", settings),
            "layers": below + own,
        }
    )
    named = {"annotations": {"org.opencontainers.image.ref.name": name}}
    index = {"schemaVersion": 2, "manifests": [_described(f"{_TYPE}manifest.v1+json", manifest) | named]}
    yield Entry("oci-layout", text='{"imageLayoutVersion": "1.0.0"}')
    yield Entry("index.json", text=json.dumps(index))
    for text in (settings, manifest):
        yield Entry(_place(_digest(text)), text=text)
    for blob in {blob.digest: blob for blob in blobs if blob.path}.values():
        yield Entry(_place(blob.digest), source=str(blob.path))


def _described(media_type: str, text: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(text), "size": len(text.encode())}


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
