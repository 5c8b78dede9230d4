"""The group ``prism podman``, and what its commands have in common."""

from __future__ import annotations

import rich_click as click

from prism_podman.commands.base import base
from prism_podman.commands.build import build
from prism_podman.commands.doctor import doctor
from prism_podman.commands.images import images
from prism_podman.commands.prune import prune


@click.group("podman", context_settings={"help_option_names": ["-h", "--help"]})
def podman() -> None:
    """Look after the containers' images, and after Podman.

    Models in containers run in images of their environments. These are made when a model is uploaded.
    """


for one in (base, build, doctor, images, prune):
    podman.add_command(one)
