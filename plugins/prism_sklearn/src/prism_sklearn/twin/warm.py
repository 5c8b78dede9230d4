"""Imported by the zygote before it forks: pay once for what every replica of a twin needs.

The first session of a process builds onnxruntime's tables of operators and kernels, which
are shared pages when it is opened before the fork.
"""

from __future__ import annotations

# A ModelProto by hand, since the package `onnx` is not needed to serve: y = Identity(x), both
# double[1]; IR version 8, opset 17.
_IDENTITY = (
    b"\x08\x08"
    b"\x3a\x36"
    b"\x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity"
    b"\x12\x00"
    b"\x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x0b\x12\x04\x0a\x02\x08\x01"
    b"\x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x0b\x12\x04\x0a\x02\x08\x01"
    b"\x42\x02\x10\x11"
)


def warm() -> None:
    """Open and use a session that needs no thread of its own."""
    import numpy as np
    import numpy.random  # numpy loads it at first use: 3 MB of every replica's own, and 10 ms

    from prism_sklearn.twin.model import open_session

    open_session(_IDENTITY).run(["y"], {"x": np.zeros(1)})


warm()
