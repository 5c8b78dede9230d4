"""Make a base image of this machine's Python, or of Debian's packages, and name it as the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prism_podman.host import rootfs
from prism_podman.host.interpreter import Interpreter, ask, check_usable, minor_of
from prism_podman.images import bases, spooling, store
from prism_podman.images.bases import LOCAL
from prism_podman.images.containerfile import KIND, LIBC, ORIGIN, OWNER, PYTHON, PYTHON_VERSION
from prism_podman.images.store import Stored, Tell


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
    with spooling.packed(entries, str(found.executable), owner) as parts:
        store.import_root(client, f"{name}-host", parts, changes(found, owner))
    store.tag(client, f"{name}-host", name)
    return store.expected(client, name)


def changes(found: Interpreter, owner: int) -> list[str]:
    """Return what the image says beside its files: variables, and labels that tell what is in it."""
    labels = {
        KIND: "base",
        ORIGIN: "host",
        OWNER: str(owner),
        PYTHON: rootfs.python_of(found),
        PYTHON_VERSION: found.version,
        LIBC: found.libc,
    }
    variables = [f"ENV {name}={value}" for name, value in rootfs.VARIABLES.items()]
    return variables + [f"LABEL {name}={value}" for name, value in labels.items()]


def labelled_as(client: Any, raw: str, origin: str, owner: int) -> Stored:
    """Make of an imported image the base of the Python that is in it."""
    found = bases.described(client, raw, store.expected(client, raw))
    name = LOCAL.format(minor=minor_of(found.python_version))
    labels = {
        KIND: "base",
        ORIGIN: origin,
        OWNER: str(owner),
        PYTHON: found.python,
        PYTHON_VERSION: found.python_version,
        LIBC: found.libc,
    }
    variables = {"LANG": "C.UTF-8", "PATH": rootfs.VARIABLES["PATH"]}
    store.relabelled(client, f"{name}-{origin}", found.beneath, variables, labels)
    store.tag(client, f"{name}-{origin}", name)
    return store.expected(client, name)
