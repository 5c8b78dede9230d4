"""What orjson has no form for by itself, as it is written."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:
    """Return what orjson cannot write in a form that it can."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf" and value.ndim and not value.flags.c_contiguous:
            return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
        return value.tolist() if value.dtype.kind in "biufUOM" else value.astype(np.float64).tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"a value of type {type(value).__name__}")
