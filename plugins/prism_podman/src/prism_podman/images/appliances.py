"""Images of versions that serve themselves: an environment's image, and a layer with the version on it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from prism_core.plugin import Appliance
from prism_podman.images import spooling, store
from prism_podman.images.containerfile import KIND, quoted
from prism_podman.images.ensuring import Image
from prism_podman.images.packing import Entry
from prism_podman.images.spooling import CHUNK_BYTES
from prism_podman.images.store import SILENT_S, TAR

FILE = "Containerfile"
FILES = "files"
# OCI's own format knows no health check, and Docker reads this one too.
FORMAT = "application/vnd.docker.distribution.manifest.v2+json"
# Its process answers as soon as the model is loaded.
HEALTH = "--interval=10s --timeout=5s --start-period=60s"


def make(client: Any, appliance: Appliance, beneath: Image) -> None:
    """Build an appliance on the image of its environment. Nothing is run in the build, or fetched for it.

    Raises
    ------
    EnvironmentFailed
        With what Podman says.
    """
    parameters = {
        "dockerfile": FILE,
        "t": appliance.name,
        "networkmode": "none",
        "outputformat": FORMAT,
        "layers": False,  # one for all: the version's files
        "rm": True,
        "forcerm": True,
    }
    with store.told("building", appliance.name), spooling.packed(context(appliance, beneath)) as parts:
        response = client.api.post(
            "/build", params=parameters, data=parts, headers=TAR, stream=True, timeout=SILENT_S
        )
        with closing(response):
            response.raise_for_status()
            for _ in store.said(response.iter_lines()):
                pass  # every step is a copy or a word


def context(appliance: Appliance, beneath: Image) -> Iterator[Entry]:
    """Yield what a build is given: the Containerfile, and what is copied."""
    yield Entry(FILE, text=text_of(appliance, beneath))
    for path in sorted(appliance.files.rglob("*")):
        name = f"{FILES}/{path.relative_to(appliance.files).as_posix()}"
        if path.is_dir():
            yield Entry(name)
        else:
            yield Entry(name, source=str(path), mode=0o644)


def text_of(appliance: Appliance, beneath: Image) -> str:
    """Return the Containerfile. Its labels say that the image is nobody's environment any more."""
    python = beneath.python
    lines = [
        f"FROM {beneath.tag}",
        f"COPY {FILES} {appliance.root}",
        *(f"ENV {name}={quoted(value)}" for name, value in appliance.variables.items()),
        *(f"LABEL {name}={quoted(value)}" for name, value in {**appliance.labels, KIND: "export"}.items()),
        f"USER {appliance.user}:{appliance.user}",
        "WORKDIR /tmp",
        f"EXPOSE {appliance.port}",
        f"HEALTHCHECK {HEALTH} CMD {_command(python, appliance.probe)}",
        f"ENTRYPOINT {_command(python, appliance.arguments)}",
        "CMD []",
    ]
    return "\n".join(lines) + "\n"


def _command(python: str, arguments: Sequence[str]) -> str:
    return json.dumps([python, *arguments])


def save(client: Any, name: str, path: Path) -> None:
    """Write an image to a file that `docker load` takes too; it takes its name once it is whole.

    Raises
    ------
    EnvironmentFailed
        With what Podman says.
    """
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file, store.told("saving", name):
            response = client.api.get(
                f"/images/{name}/get", params={"format": "docker-archive"}, stream=True, timeout=SILENT_S
            )
            with closing(response):
                response.raise_for_status()
                for part in response.iter_content(CHUNK_BYTES):
                    file.write(part)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)
