"""Find the one file to load in a directory that MLflow saved; every other artifact is its own file."""

from __future__ import annotations

import re

import attrs

from prism_core.plugin import Artifact

_MARK = "MLmodel"
# A signature of thousands of columns has less.
_MARK_BYTES = 1 << 20
# As MLflow writes it, below the flavour `sklearn`. Not read as YAML, which a runtime has no reader for.
_FILE = re.compile(rb"^ +pickled_model: *['\"]?([A-Za-z0-9_][\w.-]{0,99})['\"]? *\r?$", re.MULTILINE)


def file_of(artifact: Artifact) -> Artifact:
    """Return the file in ``artifact`` that is to be loaded: itself, if it is no directory of MLflow's."""
    root = artifact.path
    mark = root / _MARK
    if not root.is_dir() or not mark.is_file():
        return artifact
    with mark.open("rb") as file:
        found = _FILE.search(file.read(_MARK_BYTES))
    path = root / found[1].decode() if found else root
    inside = path.is_file() and path.resolve().is_relative_to(root.resolve())
    return attrs.evolve(artifact, path=path, name=path.name) if inside else artifact
