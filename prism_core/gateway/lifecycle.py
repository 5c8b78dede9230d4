"""The phases of a version, as a table. An illegal move raises and changes nothing.

    STORED ---> STARTING ---> READY ---> DRAINING ---> STOPPED
                  |  ^ ^        |                         |
                  |  | +--------|-------------------------+
                  v  |          v
                 FAILED <-------+

A replica that dies and is restarted does not move its version: calls wait for it. A
version fails when no replica of it can be kept alive. Whatever has not been STOPPED or
FAILED may be told to drain, so a user can stop a version while it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from prism_core.errors import IllegalTransition


class State(StrEnum):
    """Where a version is in its life."""

    STORED = "STORED"
    STARTING = "STARTING"
    READY = "READY"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


MOVES: Mapping[State, frozenset[State]] = {
    State.STORED: frozenset({State.STARTING, State.STOPPED}),
    State.STARTING: frozenset({State.READY, State.DRAINING, State.FAILED}),
    State.READY: frozenset({State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset({State.STARTING}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED}),
}


def move(version: str, state: State, target: State) -> State:
    """Return ``target`` if a version in ``state`` may move there.

    Parameters
    ----------
    version
        What the message calls it, for instance ``churn/3``.

    Raises
    ------
    IllegalTransition
        If the table does not have the move.
    """
    if target in MOVES[state]:
        return target
    allowed = " or ".join(sorted(MOVES[state]))
    raise IllegalTransition(
        f"{version} is {state} and cannot become {target}; from {state} it may become {allowed}.",
        hint=_HINTS.get((state, target), "`prism show` says what state a version is in."),
        details={"state": str(state), "target": str(target)},
    )


_HINTS: Mapping[tuple[State, State], str] = {
    (State.READY, State.STARTING): "It is being served already.",
    (State.STARTING, State.STARTING): "It is being started already; wait for it.",
    (State.STOPPED, State.DRAINING): "It is stopped already.",
    (State.DRAINING, State.STARTING): "It is being stopped; start it again when that has ended.",
}
