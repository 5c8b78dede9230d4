"""What other programs print, as plain text."""

from __future__ import annotations

import re

# Colours, cursor movements and titles (ECMA-48: CSI, OSC), and other signs that are not text.
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


def plain(text: str) -> str:
    """Return text without terminal sequences; lines end with a line feed."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))
