"""What a replay is asked for with, and whether two versions can be asked the same."""

from __future__ import annotations

import math
from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.errors import InvalidParameter
from prism_core.traffic.replaying.outcome import Bounds
from prism_core.types import Signature, TensorSpec

SLOWEST = 0.001


@attrs.frozen
class ReplayWish:
    """How two versions are to be compared.

    Parameters
    ----------
    baseline, candidate
        References: ``churn/3``, ``churn@champion``, ``churn``; ``churn@3`` is ``churn/3``.
    since, until
        Which of the recorded requests, by when they came in Unix seconds; None: all of that side.
    limit
        At most so many of them, 0 for all.
    percent
        So many in a hundred of them, drawn one by one.
    speed
        So many times as fast as they came; 0: as fast as answers come.
    max_gap_s
        A longer silence is cut to this; 0: none is.
    tolerance, tolerance_percent
        How far numbers may be apart and agree all the same, as in a shadow.
    bounds
        What makes it fail.
    """

    baseline: str
    candidate: str
    since: float | None = None
    until: float | None = None
    limit: Annotated[int, Meta(ge=0)] = 0
    percent: Annotated[float, Meta(gt=0, le=100)] = 100.0
    speed: Annotated[float, Meta(ge=0, le=10_000)] = 1.0
    max_gap_s: Annotated[float, Meta(ge=0)] = 0.0
    tolerance: Annotated[float, Meta(ge=0)] = 1e-6
    tolerance_percent: Annotated[float, Meta(ge=0, le=100)] = 1.0
    bounds: Bounds = attrs.field(factory=Bounds)

    @property
    def span(self) -> tuple[float, float]:
        """From when until when."""
        return self.since or 0.0, math.inf if self.until is None else self.until


def check_pace(wish: ReplayWish) -> None:
    """Raise `InvalidParameter` where a replay would take for ever."""
    if 0 < wish.speed < SLOWEST:
        raise InvalidParameter(
            f"The speed is {wish.speed:g}, and has to be at least {SLOWEST:g}.",
            hint="0 is as fast as answers come.",
        )


def reference_of(text: str) -> str:
    """Return a reference as the registry has it: ``churn@3`` is ``churn/3``."""
    name, at, version = text.partition("@")
    return f"{name}/{int(version)}" if at and version.isascii() and version.isdecimal() else text


def misfit(baseline: Signature, candidate: Signature) -> str:
    """Return why requests for the one cannot be requests for the other, "" where they can."""
    ours, theirs = baseline.inputs, candidate.inputs
    if len(ours) == len(theirs) == 1:
        return _differs(ours[0], theirs[0])
    known = {spec.name: spec for spec in theirs}
    missing = [spec.name for spec in ours if spec.name not in known]
    new = known.keys() - {spec.name for spec in ours}
    if missing or new:
        parts = [f"does not take {_listed(missing)}"] if missing else []
        parts += [f"takes {_listed(sorted(new))} too"] if new else []
        return f"it {' and '.join(parts)}"
    return next(filter(None, (_differs(spec, known[spec.name]) for spec in ours)), "")


def _differs(ours: TensorSpec, theirs: TensorSpec) -> str:
    if (ours.datatype == "BYTES") != (theirs.datatype == "BYTES"):
        return f"its input {theirs.name!r} is {theirs.datatype}, and not {ours.datatype}"
    if ours.columns and theirs.columns and ours.columns != theirs.columns:
        return f"its columns are {_listed(theirs.columns)}, and not {_listed(ours.columns)}"
    same = len(ours.shape) == len(theirs.shape) and all(
        one == other or -1 in (one, other) for one, other in zip(ours.shape, theirs.shape, strict=True)
    )
    return "" if same else f"its input {theirs.name!r} has the shape {theirs.shape}, and not {ours.shape}"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    told = ", ".join(map(repr, names[:5]))
    return f"{told} and {len(names) - 5} more" if len(names) > 5 else told
