"""What ``--option key=value`` may set for an ONNX model."""

from __future__ import annotations

import os
from typing import Any, Literal

import attrs


@attrs.frozen
class OnnxOptions:
    """Options of the loader ``onnx``.

    Parameters
    ----------
    threads
        Threads of one operator. 0: as many as the replica may use, 1 unless the upload says otherwise.
    providers
        Execution providers, the preferred first, as a list or with commas; ``cuda`` is
        short for ``CUDAExecutionProvider``. "" is the CPU.
    optimization
        How far onnxruntime rewrites the graph.
    batch
        Whether requests may be joined along the first axis. ``auto``: where the graph
        leaves that axis free in every tensor, and a trial shows that rows do not affect
        each other.
    image
        How images become the input tensor (layout, size, channels, scale, mean, std);
        read by the image normalizers.
    """

    threads: int = 0
    providers: str | list[str] = ""
    optimization: Literal["disable", "basic", "extended", "all"] = "all"
    batch: bool | Literal["auto", "true", "false"] = "auto"
    image: dict[str, Any] = attrs.field(factory=dict)

    @property
    def intra_op_threads(self) -> int:
        """The number of threads; the replica's limit is what its numeric libraries were told."""
        return self.threads or int(os.environ.get("OMP_NUM_THREADS") or 1)

    @property
    def provider_names(self) -> list[str]:
        """The asked-for providers, without blanks."""
        names = self.providers.split(",") if isinstance(self.providers, str) else self.providers
        return [name.strip() for name in names if name.strip()]

    @property
    def joins(self) -> bool | None:
        """Whether requests are to be joined; None: find out."""
        return {"auto": None, "true": True, "false": False}.get(str(self.batch).lower())
