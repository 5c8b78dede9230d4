"""What is compared between the shares of a split, and what is done when one is worse."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from prism_core.traffic.targets import VersionName

Metric = Literal["latency", "errors", "agreement", "labels"]
Alpha = Annotated[float, Meta(gt=0, le=0.5)]


@attrs.frozen
class Experiment:
    """A comparison of the shares of a split.

    ``control`` is the version that the others are compared with; None for the one of the largest
    weight. ``alpha`` is the probability of a wrong verdict, however often one looks.
    """

    control: VersionName | None = None
    metrics: tuple[Metric, ...] = ("latency", "errors", "labels")
    alpha: Alpha = 0.05


@attrs.frozen
class TrafficGuard:
    """Takes all traffic away from a share that is worse than the control.

    ``alpha`` is the probability of taking it from one that is not, over the whole life of the canary.
    ``max_error_percent`` and ``max_latency_percent`` are how much worse it may be.
    """

    metrics: tuple[Metric, ...] = ("errors", "latency")
    alpha: Alpha = 0.01
    max_error_percent: Annotated[float, Meta(ge=0)] = 0.0
    max_latency_percent: Annotated[float, Meta(ge=0)] = 10.0
