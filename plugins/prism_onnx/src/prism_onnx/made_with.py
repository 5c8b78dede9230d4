"""Which releases of onnxruntime can run a model: by its IR version and the operator sets that it imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from prism_core.plugin import Artifact, Requirement
from prism_onnx.artifact import is_model, versions
from prism_onnx.protobuf import MalformedProtobuf

_LEARNING = "ai.onnx.ml"


@attrs.frozen
class Reach:
    """The newest operator sets and IR version that a release accepts."""

    release: str
    opset: int
    learning: int
    ir: int

    def holds(self, other: Reach) -> bool:
        """Tell whether the release reaches as far as ``other``."""
        return self.opset >= other.opset and self.learning >= other.learning and self.ir >= other.ir


# Measured: the first of 1.15 to 1.31 that opens a model of one operator with it. Later releases open
# whatever earlier ones did, says https://onnxruntime.ai/docs/reference/compatibility.html.
RELEASES = (
    Reach("", 18, 3, 9),
    Reach(">=1.16", 19, 3, 9),
    Reach(">=1.17", 20, 4, 9),
    Reach(">=1.18", 21, 5, 10),
    Reach(">=1.21", 22, 5, 10),
    Reach(">=1.23", 23, 5, 11),
    Reach(">=1.24", 25, 5, 13),
    Reach(">=1.25", 26, 5, 13),
)


def requirements(artifact: Artifact) -> Iterator[Requirement]:
    """Yield the range of onnxruntime that runs ``artifact``; nothing where it is no model."""
    paths = sorted(artifact.path.glob("*.onnx")) if artifact.path.is_dir() else [artifact.path]
    wanted = [reach for path in paths if (reach := wanted_by(path))]
    if not wanted:
        return
    most = Reach("", *(max(kind) for kind in zip(*map(_versions, wanted), strict=True)))
    found = next((release for release in RELEASES if release.holds(most)), None)
    reason = f"it is of IR version {_shown(most.ir)} and operator set {_shown(most.opset)}"
    if most.learning:
        reason += f", and set {_shown(most.learning)} of {_LEARNING}"
    if found is None:
        reason += ", of which no release is known here"
    yield Requirement("onnxruntime", (found or RELEASES[-1]).release, reason)


def _versions(reach: Reach) -> tuple[int, int, int]:
    return reach.opset, reach.learning, reach.ir


def _shown(number: int) -> str:
    return str(number) if number < 1000 else "1000 or more"


def wanted_by(path: Path) -> Reach | None:
    """Return how far a release must reach for the model in a file; None if there is none."""
    if not path.is_file() or not is_model(path):
        return None
    try:
        ir, imports = versions(path)
    except MalformedProtobuf:
        return None
    own = max(imports.get("", 0), imports.get("ai.onnx", 0))
    return Reach("", own, imports.get(_LEARNING, 0), ir)
