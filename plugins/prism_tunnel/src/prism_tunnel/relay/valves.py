"""Read from a connection only while nothing is against it."""

from __future__ import annotations

from collections.abc import Callable


class Valve:
    """Pauses a reader while at least one reason holds.

    The reasons are counted by name: a buffer that is full, a limit, an answer that is not ready.
    """

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause, self._resume = pause, resume
        self._reasons: set[str] = set()

    def hold(self, reason: str) -> None:
        """Read no more, until this reason is gone as well."""
        if not self._reasons:
            self._pause()
        self._reasons.add(reason)

    def release(self, reason: str) -> None:
        """Let a reason go; nothing happens where it did not hold."""
        if reason in self._reasons:
            self._reasons.discard(reason)
            if not self._reasons:
                self._resume()

    def clear(self) -> None:
        """Let every reason go."""
        for reason in list(self._reasons):
            self.release(reason)

    def set(self, reason: str, holds: bool) -> None:
        """Hold or release."""
        (self.hold if holds else self.release)(reason)
