"""What an image is called, by what is in it, and the Containerfile by which any program builds it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence

from prism_core.plugin import Environment
from prism_podman.images.layers import GENERATOR, Layer
from prism_podman.images.packing import Entry
from prism_podman.images.selection import SITE, wheel_digest

REPOSITORY = "localhost/prism-environment"

# Labels: whose an image is, and what it holds. KIND is "base" or "environment".
KIND, SERVER, ENVIRONMENT = "prism.image", "prism.server", "prism.environment"
BASE, PYTHON, PYTHON_VERSION, LIBC = "prism.base", "prism.python", "prism.python-version", "prism.libc"
# Of a base: where it comes from, and to which user its files belong.
ORIGIN, OWNER = "prism.origin", "prism.owner"
# Of an environment's: its layers, as ``KEY=DIGEST`` with commas between them.
LAYERS = "prism.layers"

VARIABLES = {
    "PYTHONPATH": SITE,
    "PYTHONDONTWRITEBYTECODE": "1",  # everything is compiled, and nothing can be written there
    "PYTHONUNBUFFERED": "1",
}


def tag_of(environment: Environment, base: str, server: str, owner: int) -> str:
    """Return the name of an environment's image on a base with the id ``base``.

    ``server`` is whose it is, ``owner`` to whom its files belong.

    Everything that decides what is in the image is in it: a name that exists is never built again.
    """
    content = {
        "generator": GENERATOR,
        "base": base,
        "server": server,
        "owner": owner,
        "python": environment.python_version.rpartition(".")[0],
        "pins": sorted([pin.name, pin.version, wheel_digest(pin.wheel)] for pin in environment.pins),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{REPOSITORY}:{environment.key[:12]}-{digest[:16]}"


def text_of(base: str, layers: Sequence[Layer], labels: Mapping[str, str]) -> str:
    """Return the Containerfile of packages on a base, each layer in a tar beside it (`file_of`).

    Nothing is run in a build, so it needs no shell and no network. The labels, which differ most,
    stand last.
    """
    lines = [f"FROM {base}"]
    for number, layer in enumerate(layers):
        lines += [f"# {layer.title}", f"ADD {file_of(number)} /"]
    lines += ["ENV " + " ".join(f"{name}={quoted(value)}" for name, value in VARIABLES.items())]
    lines += ["LABEL " + " ".join(f"{name}={quoted(value)}" for name, value in sorted(labels.items()))]
    return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """Return a value as a Containerfile takes it, whatever is in it."""
    return '"' + "".join(f"\\{c}" if c in '"\\$' else c for c in value if c.isprintable()) + '"'


def file_of(number: int) -> str:
    """Return the name of a layer's tar."""
    return f"{number:02}.tar"


def contents(layer: Layer) -> list[Entry]:
    """Return a layer's files by name; one that two have is the last one's, as if installed in turn."""
    files = {file.name: file for package in layer.packages for file in package.files}
    return [dataclasses.replace(file, name=f"{SITE[1:]}/{name}") for name, file in sorted(files.items())]
