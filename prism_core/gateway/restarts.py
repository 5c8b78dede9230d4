"""When a lost replica is started again, and when it is given up. Pure."""

from __future__ import annotations

import attrs


@attrs.frozen
class RestartPolicy:
    """The first death is answered at once; each further quick one doubles the wait.

    A replica that lived for ``settled_s`` has a clean record. One that was asked is never given
    up: some request ends it, and whoever sends that must not end the model for all others. After
    ``asked_deaths`` in a row its wait grows no further.
    """

    first_s: float = 0.1
    longest_s: float = 30.0
    settled_s: float = 10.0
    quick_deaths: int = 8
    asked_deaths: int = 4

    def deaths(self, before: int, lived_s: float, asked: bool = False) -> int:
        """Return the deaths in a row, this one included; ``asked``: it had calls to answer."""
        if lived_s >= self.settled_s:
            return 1
        return min(before + 1, self.asked_deaths) if asked else before + 1

    def delay_s(self, deaths: int, chance: float) -> float | None:
        """Return how long to wait after ``deaths`` in a row, None to give up.

        ``chance`` in [0, 1) spreads the wait by half of itself, so that replicas that died
        together do not start together.
        """
        if deaths > self.quick_deaths:
            return None
        if deaths <= 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** (deaths - 2)) * (0.5 + chance)


def exit_text(code: int) -> str:
    """Return an exit code in words: ``signal 9`` for -9."""
    return f"signal {-code}" if code < -1 else "an unknown exit code" if code == -1 else f"exit code {code}"
