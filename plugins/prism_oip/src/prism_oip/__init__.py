"""The Open Inference Protocol V2: REST, binary tensors, gRPC, and a kit that tests any server for it."""

from __future__ import annotations

__version__ = "0.1.0"
