"""Where a page ends before it begins, in words for people: gates that ask for something, and ends.

Pure.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs

from prism_core.errors import LinkExpired, LinkNotFound, ModelNotFound, PrismError, RateLimited

SHARED = "A model was shared with you"


@attrs.frozen
class Stop:
    """What stands there instead of a page.

    Parameters
    ----------
    asks
        "link" for a link's token, "key" for an API key, "" for nothing: it is an end.
    told
        What was wrong with what was shown before.
    password
        Whether the link has one.
    action
        Where the form is sent.
    """

    title: str
    lines: tuple[str, ...]
    asks: Literal["", "link", "key"] = ""
    told: str = ""
    password: bool = False
    action: str = ""


def link_gate(slug: str, *, password: bool, refused: str = "", shown: bool = False) -> Stop:
    """Return the gate of a link; ``refused`` is the code of why it was not opened before.

    ``shown``: something was shown that does not open it, or does no more.
    """
    told = _REFUSED.get(refused, "It could not be opened. Try again.") if refused else ""
    if not told and shown:
        told = "Your visit is over. Enter once more."
    lines = ("It asks for the password that you were told.",) if password else ()
    return Stop(SHARED, lines, "link", told, password, f"./{slug}/open")


_REFUSED = {
    "unauthorized": "This does not open it. Look at what you were sent once more.",
    "rate_limited": "That was tried too often. Wait a minute, then try again.",
}


def key_gate(told: str = "") -> Stop:
    """Return the gate of a server that asks who you are."""
    lines = ("Enter your API key. It stays in this tab and is forgotten when you leave the page.",)
    return Stop("This model asks for a key", lines, "key", told)


def end_of(error: PrismError, error_id: str = "") -> Stop:
    """Return what is said where ``error`` keeps a page from being shown."""
    title, *lines = _words(error)
    if error_id:
        lines.append(f"Its owner finds the reason by {error_id}.")
    return Stop(title, tuple(line for line in lines if line))


def _words(error: PrismError) -> tuple[str, ...]:
    if isinstance(error, LinkNotFound):
        return ("This link leads nowhere", error.message, error.hint)
    if isinstance(error, LinkExpired):
        used_up = error.details.get("reason") == "used_up"
        over = "It has answered as often as it may." if used_up else "Its time is over."
        return ("This link has ended", over, "Ask whoever sent it for a new one.")
    if isinstance(error, RateLimited):
        wait_s = error.details.get("retry_after_s")
        soon = f"Try again in {max(1, math.ceil(wait_s))} seconds." if isinstance(wait_s, int | float) else ""
        return ("That was a little too fast", soon or error.hint)
    if isinstance(error, ModelNotFound):
        return ("There is no such model", error.message, error.hint)
    return ("This cannot be shown", error.message, error.hint)
