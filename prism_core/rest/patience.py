"""How long a client may take: the deadline of whatever is due from it. No clock and no socket in here.

| due        | until                                                                   |
|------------|-------------------------------------------------------------------------|
| `REQUEST`  | ``idle_s`` after the last answer, or after it connected                  |
| `HEAD`     | ``head_s`` after its first byte, however many have come                  |
| `BODY`     | ``body_s`` after the head, and a second more for ``body_rate`` bytes     |
| `READING`  | ``write_s`` after it last took something of its answer                   |
| `LEAVING`  | `LINGER_S` after an answer that ends the connection                      |
| `NOTHING`  | the server is at work: look again later                                  |
"""

from __future__ import annotations

from enum import Enum, auto

import attrs

from prism_core.settings import LimitSettings

# What a client still sends after it was refused is thrown away for so long, so that it
# can read why: closed at once, the kernel would tell it "reset" instead.
LINGER_S = 5.0


class Due(Enum):
    """What a connection waits for."""

    REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    READING = auto()
    LEAVING = auto()
    NOTHING = auto()


@attrs.frozen(slots=True)
class Owed:
    """What is due, since when, and the bytes that have come of it."""

    due: Due
    since: float
    got: int = 0


def deadline(owed: Owed, limits: LimitSettings) -> float:
    """Return when patience ends, on the clock of ``owed.since``."""
    if owed.due is Due.HEAD:
        return owed.since + limits.head_s
    if owed.due is Due.BODY:
        return owed.since + limits.body_s + owed.got / limits.body_rate
    if owed.due is Due.READING:
        return owed.since + limits.write_s
    if owed.due is Due.LEAVING:
        return owed.since + LINGER_S
    return owed.since + limits.idle_s
