"""Where a page stands, and where it sends what is asked of it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Place:
    """Where a page of a model stands.

    Parameters
    ----------
    here
        The last part of its path. All that it leads to is told from here, so that a page also
        works behind a proxy that puts something in front.
    url
        By which programs predict, as somebody elsewhere writes it.
    max_body
        The most bytes that are taken at once.
    secret
        The shell's variable that holds what opens it, in examples of requests; "" where nothing does.
    opens
        Where that and a password are exchanged for a session first; "" where there is no password.
    note
        What its owner says to whoever has the link.
    until
        When the link ends, in Unix seconds; 0 for never, or where there is no link.
    answers
        Whether it may be asked, and not only looked at.
    left
        How many predictions it has left; None for any number.
    """

    here: str
    url: str
    max_body: int
    secret: str = ""
    opens: str = ""
    note: str = ""
    until: float = 0.0
    left: int | None = None
    answers: bool = True

    @property
    def action(self) -> str:
        """Where its form is sent: to itself."""
        return f"./{self.here}"

    @property
    def predict(self) -> str:
        """Where its script sends tables."""
        return f"./{self.here}/predict"
