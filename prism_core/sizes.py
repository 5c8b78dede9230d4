"""Sizes in bytes: as people write them (``256MB``, ``1.5 GB``, ``4096``), and of what lies on disk."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import attrs


@attrs.frozen
class SizeMarker:
    """Marks an int that may be written with a unit."""


Bytes = Annotated[int, SizeMarker()]

_UNITS = ("B", "KB", "MB", "GB", "TB")


def parse_bytes(text: str) -> int:
    """Return the bytes of ``256MB``; one unit is 1024 of the one below, "MiB" says the same.

    Raises
    ------
    ValueError
        If it is not a number with one of the units B, KB, MB, GB, TB.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError(f"expected a size such as 256MB or 6GB, got {text!r}.")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def format_bytes(size: int) -> str:
    """Return ``size`` for people: ``812 B``, ``3.4 MB``."""
    value = float(size)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError  # the loop returns at the last unit


def size_of(directory: Path) -> int:
    """Return how much a directory holds on disk; what vanishes meanwhile is nothing."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total
