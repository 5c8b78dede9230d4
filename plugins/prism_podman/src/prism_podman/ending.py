"""Why a container ended, in words. Pure."""

from __future__ import annotations

import signal

import attrs

KILLED = 128 + signal.SIGKILL


@attrs.frozen
class Exit:
    """An exit code, negative for a signal, and what is known of the reason beside it."""

    code: int
    reason: str = ""


def exit_of(code: int, *, told: bool, oom: bool, excess: str = "", limit: int = 0) -> Exit:
    """Return how a container ended.

    Parameters
    ----------
    code
        As Podman gives it: 128 and the number of the signal that ended it.
    told
        Whether it was asked to end.
    oom
        Whether the kernel, or Podman, says that memory was the reason.
    excess
        What it was ended for here.
    limit
        Its memory limit, 0 for that of the settings.
    """
    number = 128 - code if code - 128 in set(signal.valid_signals()) else code
    if excess:
        return Exit(number, excess)
    of_limit = f"the limit of {limit} bytes" if limit else "the limit that plugins.podman.memory_share gives"
    if oom:
        return Exit(number, f"it ran out of memory, beyond {of_limit}")
    if code == KILLED and not told:
        return Exit(number, f"it was killed from outside, probably for its memory ({of_limit})")
    return Exit(number)
