"""What is asked of a model and what it answers, whoever asks: a lane, a route, a replay."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen(slots=True)
class Head:
    """Everything of a request but its body.

    ``query`` is the raw query string, ``style`` the response style of the route. ``cached``
    False: neither look up nor keep the answer. ``hold_s`` is how long it may wait while the
    model is loaded, 0 for as long as the server lets it. ``mark`` is all of it that changes the answer,
    as the cache's key has it.
    """

    media_type: str = ""
    accept: str = ""
    query: str = ""
    style: str = ""
    cached: bool = True
    hold_s: float = 0.0
    mark: bytes = attrs.field(init=False, eq=False, repr=False)

    @mark.default
    def _mark(self) -> bytes:
        said = f"{self.media_type}\n{self.accept}\n{self.query}\n{self.style}".encode()
        return len(said).to_bytes(4, "little") + said


@attrs.define(slots=True)
class Prediction:
    """An answer, ready to be sent, and how it came about. Times in microseconds.

    ``lines`` are header lines that say what its route did, each with its line end.
    """

    body: bytes | memoryview
    media_type: str
    model: str
    version: int
    rows: int
    cache: str = "bypass"
    batch_rows: int = 0
    queue_us: int = 0
    compute_us: int = 0
    lines: bytes = b""


# Called once with the answer, or with why there is none; must not raise.
OnAnswer = Callable[[Prediction | Exception], None]
