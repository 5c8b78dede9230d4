"""What another program builds an image of: a Containerfile and the tars of its layers; needs no Podman."""

from __future__ import annotations

from pathlib import Path

from prism_core.plugin import Environment
from prism_podman.host.interpreter import minor_of
from prism_podman.images import spooling
from prism_podman.images.bases import OFFICIAL
from prism_podman.images.containerfile import ENVIRONMENT, KIND, contents, file_of, text_of
from prism_podman.images.layers import layered
from prism_podman.images.selection import selected
from prism_podman.images.store import Tell


def write_context(environment: Environment, base: str, directory: Path, tell: Tell) -> None:
    """Write what an environment's image is built of; ``base`` "" is Python's official image."""
    layers = layered(selected(environment))
    directory.mkdir(parents=True, exist_ok=True)
    for number, layer in enumerate(layers):
        tell(f"Packing {layer.title} ({number + 1} of {len(layers)})")
        spooling.spooled(layer.title, contents(layer), environment.python, 0, directory / file_of(number))
    labels = {KIND: "environment", ENVIRONMENT: environment.key}
    name = base or OFFICIAL.format(minor=minor_of(environment.python_version))
    (directory / "Containerfile").write_text(text_of(name, layers, labels))
