"""Who sent a request, as routes may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs


@attrs.frozen(slots=True)
class Sender:
    """Who sent a request.

    ``headers`` are by their lower-case names, ``address`` is whose request it is (a trusted proxy says for
    whom it asks), ``caller`` the id of a key or a link; "" where nobody is known.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict)
    address: str = ""
    caller: str = ""


NOBODY = Sender()

# Called only where a route asks: most predictions have none.
AskSender = Callable[[], Sender]


def nobody() -> Sender:
    """Return the sender of whom nothing is known."""
    return NOBODY
