"""Serve ONNX models through onnxruntime.

The plugin itself: it describes the loader and imports no framework. `artifact` looks at
files, `model` holds the loaded one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prism_core.plugin import Artifact, BaseModel, Loader, Requirement, hookimpl
from prism_onnx.artifact import recognises
from prism_onnx.options import OnnxOptions

__version__ = "0.1.0"

# Since 1.29 the official onnxruntime wheels report to their vendor by default. A local
# server does not; and as it must be said before the import, it is said here. Without it
# the import also starts a thread, after which a process cannot safely be forked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@hookimpl
def prism_loaders() -> Iterator[Loader]:
    """Offer the loader ``onnx``."""
    yield Loader(
        name="onnx",
        suffixes=(".onnx",),
        recognises=recognises,
        load=_load,
        requires=("onnxruntime", "prism_onnx.warm"),
        options=OnnxOptions,
        requirements=_requirements,
    )


def _requirements(artifact: Artifact) -> Iterator[Requirement]:
    from prism_onnx.made_with import requirements

    return requirements(artifact)


def _load(artifact: Artifact, options: OnnxOptions) -> BaseModel:
    from prism_onnx.model import load

    return load(artifact, options)
