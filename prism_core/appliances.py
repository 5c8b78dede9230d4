"""Images of versions that serve themselves: what one holds, and who builds it.

Records, as those of `prism_core.specs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Appliance:
    """An image to be built of a version: all but the packages and the interpreter that it runs with.

    Parameters
    ----------
    model
        The version, ``churn/3``, as the server on this machine has it.
    python_version, lock, distributions
        What it runs with: its Python, names and versions of packages, and PRISM's own beside these.
        The server has written down an environment of just that.
    name
        What the image is to be called.
    files, root
        A directory of this machine, and where what is in it lies in the image.
    arguments, probe
        Command lines after the interpreter: of its process, and one that tells by its exit code
        whether it is ready.
    user, port
        Who runs there, and where it is asked.
    variables, labels
        For its process, and about the image.
    output
        A file for the image as an archive, None to leave it in the engine.
    """

    model: str
    python_version: str
    lock: tuple[tuple[str, str], ...]
    distributions: tuple[str, ...]
    name: str
    files: Path
    root: str
    arguments: tuple[str, ...]
    probe: tuple[str, ...]
    user: int
    port: int
    variables: Mapping[str, str]
    labels: Mapping[str, str]
    output: Path | None = None


@attrs.frozen
class ImageBuilder:
    """Something that builds images, for ``prism export MODEL --image``.

    Parameters
    ----------
    name
        What ``--engine`` takes.
    build
        ``build(cli, appliance)`` builds one; ``cli`` is what commands are given. Called in the
        process of the command line; what it raises of our own tree is told.
    available
        Returns "" or one sentence why it cannot work on this machine and how to get it.
    """

    name: str
    build: Callable[[Any, Appliance], None]
    available: Callable[[], str] = lambda: ""
