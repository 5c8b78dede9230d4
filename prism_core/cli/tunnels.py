"""Names of tunnels, and their states in words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import rich_click as click

AUTO = "auto"
_COLOURS = {"up": "green", "connecting": "yellow", "down": "red", "failed": "red"}


def complete_tunnels(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of link providers that begin with ``incomplete``."""
    try:
        from prism_core.plugins import load_plugins

        names = [AUTO, *sorted(load_plugins().link_providers)]
    except Exception:  # a shell's Tab key is no place for errors
        return []
    return [name for name in names if name.startswith(incomplete)]


def state_text(state: str) -> str:
    """Return a tunnel's state in its colour."""
    return f"[{_COLOURS.get(state, 'dim')}]{state}[/]"


def troubles(tunnels: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line about each tunnel that is not up."""
    return [_trouble(tunnel) for tunnel in tunnels if tunnel["state"] != "up"]


def _trouble(tunnel: dict[str, Any]) -> str:
    """Return what is wrong with a tunnel, for how long, and whether it is tried again."""
    if tunnel["state"] == "connecting":
        return f"{tunnel['name']} is connecting. {tunnel['reason']}".rstrip()
    tries = f", tried {tunnel['attempts']} times" if tunnel["attempts"] > 1 else ""
    word = "is down" if tunnel["state"] == "down" else "has failed"
    reason = tunnel["reason"] or "it does not say why."
    return f"{tunnel['name']} {word} {_since(tunnel['since'])}{tries}: {reason}"


def _since(moment: float) -> str:
    passed = max(0.0, time.time() - moment)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"for {passed // length:.0f} {unit}"
    return f"for {passed:.0f} s"
