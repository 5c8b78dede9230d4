"""Make a base image of this machine's Python, or of Debian's packages, and name it as the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prism_podman.host import rootfs
from prism_podman.host.interpreter import Interpreter, ask, check_usable
from prism_podman.images import store
from prism_podman.images.bases import LOCAL
from prism_podman.images.containerfile import KIND, LIBC, PYTHON, PYTHON_VERSION
from prism_podman.images.store import Stored, Tell

ORIGIN = "prism.origin"


def from_host(client: Any, python: Path, owner: int, tell: Tell) -> Stored:
    """Make the base image of an interpreter of this machine, with nothing from any network.

    Raises
    ------
    EnvironmentFailed
        If it cannot be made of this interpreter.
    """
    found = ask(python)
    check_usable(found)
    name = LOCAL.format(minor=found.minor)
    tell(f"Looking at what Python {found.version} needs")
    entries = list(rootfs.entries(found))
    tell(f"Handing {len(entries)} files over to Podman")
    with store.packed(entries, str(found.executable), owner) as parts:
        store.import_root(client, f"{name}-host", parts, changes(found))
    return named(client, f"{name}-host", name)


def changes(found: Interpreter) -> list[str]:
    """Return what the image says beside its files: variables, and labels that tell what is in it."""
    labels = {
        KIND: "base",
        ORIGIN: "host",
        PYTHON: rootfs.python_of(found),
        PYTHON_VERSION: found.version,
        LIBC: found.libc,
    }
    variables = [f"ENV {name}={value}" for name, value in rootfs.VARIABLES.items()]
    return variables + [f"LABEL {name}={value}" for name, value in labels.items()]


def named(client: Any, image: str, name: str) -> Stored:
    """Give an image its second name, under which images of environments find it."""
    repository, _, tag = name.rpartition(":")
    with store.told("naming", name):
        client.api.post(f"/images/{image}/tag", params={"repo": repository, "tag": tag}).raise_for_status()
    found = store.inspect(client, name)
    assert found is not None
    return found
