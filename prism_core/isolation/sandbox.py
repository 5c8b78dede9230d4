"""How strictly a replica is shut in: the levels, and which one is taken. Values only.

What a level does is in `confine`; what works on this machine is found out by `probing`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import attrs

from prism_core.errors import LaunchFailed

Wish = Literal["required", "best", "off"]

OFF_WARNING = "the sandbox is off: a model can do whatever this account can"
LIMITS_WARNING = "no sandbox works here: a model can read this account's files and use the network"


class Level(StrEnum):
    """From nothing to the strongest.

    OFF: the process is not shut in. LIMITS: it is bounded in memory, threads and files, and
    that is all. LANDLOCK: besides, it can open no other file than its own, no socket, and touch
    no other process. NAMESPACES: besides, nothing else is there to be seen.
    """

    OFF = "off"
    LIMITS = "limits"
    LANDLOCK = "landlock"
    NAMESPACES = "namespaces"


@attrs.frozen
class Abilities:
    """What works on this machine: "" for each level that does, else why not and what to do about it."""

    namespaces: str
    landlock: str

    @property
    def strongest(self) -> Level:
        """The strongest level that works."""
        if not self.namespaces:
            return Level.NAMESPACES
        return Level.LIMITS if self.landlock else Level.LANDLOCK


def chosen(wish: str, abilities: Abilities) -> Level:
    """Return the level at which a replica is started.

    Raises
    ------
    LaunchFailed
        If a sandbox is required and none works here.
    """
    if wish == "off":
        return Level.OFF
    if wish == "required" and abilities.strongest is Level.LIMITS:
        raise LaunchFailed(
            f"A sandbox is required, and none works here: {abilities.namespaces}; {abilities.landlock}.",
            hint="`prism doctor` shows what is missing; `--sandbox best` serves without, at your own risk.",
        )
    return abilities.strongest


def with_threads(wish: str, level: Level) -> Level:
    """Return the level of an interpreter that has several threads before it has run anything.

    Raises
    ------
    LaunchFailed
        If a sandbox is required: the kernel shuts in one thread, and lets the others be.
    """
    if wish == "required":
        raise LaunchFailed(
            "A sandbox is required, and this interpreter starts threads before it can be shut in.",
            hint="Look for what its site-packages import at the start (.pth files, sitecustomize).",
        )
    return min(level, Level.LIMITS, key=list(Level).index)


def warning(level: Level) -> str:
    """Return what must be said aloud of a replica at ``level``, "" for nothing."""
    return {Level.OFF: OFF_WARNING, Level.LIMITS: LIMITS_WARNING}.get(level, "")
