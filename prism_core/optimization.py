"""What came of the wish for a faster form of a version, and what gateway and conversion tell each other.

The conversion runs in a process of its own. It finds a `Task` in its directory and leaves an
`Outcome` there: files, so that it works wherever a replica can run.
"""

from __future__ import annotations

from typing import Literal

import attrs

TASK_FILE = "task.json"
EXAMPLE_FILE = "example"
OUTCOME_FILE = "outcome.json"
FORMS_DIRECTORY = "forms"


@attrs.frozen
class Pace:
    """Microseconds of one execution at one batch size: the original form's and the converted one's."""

    original_us: float
    optimized_us: float

    @property
    def speedup(self) -> float:
        """How many times faster the converted form is."""
        return self.original_us / self.optimized_us if self.optimized_us else 0.0


@attrs.frozen
class Optimization:
    """What came of the wish for a faster form of a version.

    Parameters
    ----------
    state
        ``served``: replicas load the converted form. ``kept``: they load the original, since no
        form passed. ``failed``: it could not be found out; the next upload tries again.
    reason
        Why the original is kept.
    optimizer, dtype
        Who converted it, and what the form computes with.
    loader, digest, size_bytes
        The converted form: its loader, and where it lies in the store; "" where there is none.
    rows, largest_error, tolerance
        How many rows were compared, and the largest relative error of any number.
    paces
        Measured times by the number of rows in one execution.
    versions
        Packages that converted it and run it.
    took_s
        How long conversion, comparison and measurement took.
    """

    state: Literal["served", "kept", "failed"]
    reason: str = ""
    optimizer: str = ""
    dtype: str = ""
    loader: str = ""
    digest: str = ""
    size_bytes: int = 0
    rows: int = 0
    largest_error: float = 0.0
    tolerance: float = 0.0
    paces: dict[str, Pace] = attrs.field(factory=dict)
    versions: dict[str, str] = attrs.field(factory=dict)
    took_s: float = 0.0


@attrs.frozen
class Task:
    """What to do, beside the manifest: by which optimizer; ``media_type`` "" means there is no example."""

    optimizer: str
    media_type: str = ""


@attrs.frozen
class Outcome:
    """What came of it; ``form`` is the name of the form that passed, below ``forms``."""

    optimization: Optimization
    form: str = ""
