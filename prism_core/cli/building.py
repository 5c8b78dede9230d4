"""How far the building of an environment is, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Building:
    """Told the facts of the step ``environment`` as they come; says what goes on."""

    def __init__(self) -> None:
        self._loading: dict[str, str] = {}

    def text(self, facts: Mapping[str, Any]) -> str:
        """Return what to show after ``facts``, "" where they say nothing new."""
        phase, count = facts.get("phase", ""), facts.get("packages")
        if facts.get("text"):  # of an isolation backend, which has its own words
            return str(facts["text"])
        if phase == "resolving":
            return "Finding packages that go together"
        if phase in ("downloading", "downloaded"):
            return self._downloading(phase, str(facts["package"]), str(facts.get("size", "")))
        verb = {"resolved": "Installing", "installing": "Installing", "compiling": "Compiling"}.get(phase)
        return f"{verb} {count} package{'' if count == 1 else 's'}" if verb and count else ""

    def _downloading(self, phase: str, package: str, size: str) -> str:
        if phase == "downloading":
            self._loading[package] = f"{package} ({size})"
        else:
            self._loading.pop(package, None)
        return f"Downloading {', '.join(self._loading.values())}" if self._loading else "Downloading"
