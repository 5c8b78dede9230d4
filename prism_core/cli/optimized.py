"""What came of ``--optimize``, in a line or two."""

from __future__ import annotations

from typing import Any


def optimization_lines(found: dict[str, Any] | None) -> list[str]:
    """Return what to tell of a version's `Optimization`; nothing where nobody asked for one."""
    if not found:
        return []
    if found["state"] != "served":
        return [f"The original is served, no faster form: {found['reason']}."]
    return [f"A converted form is served ({_made_by(found)}).", *_measured(found)]


def _made_by(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return ", ".join(part for part in (found["dtype"], versions) if part)


def _measured(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['rows']} rows compared: every label equal, largest error {found['largest_error']:.1e}"
        f" (at most {found['tolerance']:g} is let pass)."
    ]
    if found["paces"]:
        lines.append("Faster: " + ", ".join(_pace(found, rows) for rows in found["paces"]) + ".")
    return lines


def _pace(found: dict[str, Any], rows: str) -> str:
    pace = found["paces"][rows]
    unit = "row" if rows == "1" else "rows"
    times = f"{pace['original_us']:.0f} -> {pace['optimized_us']:.0f} us"
    return f"{times} for {rows} {unit} (x{found['speedup'][rows]:.1f})"
