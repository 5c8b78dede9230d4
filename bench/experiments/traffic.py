"""Made-up traffic of a split: who is asked, what fails, how long it takes, what labels say. Seeded."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
# The spread of log latencies, as of a model behind a queue; the p95 is 2.3 times the median.
SPREAD = 0.5


@attrs.frozen
class Traffic:
    """What both versions are like, and what is wrong with the canary.

    Parameters
    ----------
    share
        The canary's part of the requests.
    n, per_s
        How many requests, and how many a second.
    errors, labels
        Of both versions: how many requests fail, how many answers are right.
    tail
        Degrees of freedom of Student's t for log latencies; 0: normal.
    drift
        Error rates go up and down by this factor, latencies by its square root, in waves of a minute.
    outages
        Every half minute half of all requests fail for 2 s, and all take three times as long.
    batch
        So many requests of one version in a row are computed together, and take equally long.
    own_s, own
        Each version is disturbed by itself, for about ``own_s`` at a time, by ``own`` (of log latency).
    ramp
        The canary's shares, in equal parts of the time; none: ``share`` all the time.
    more_errors, slower, worse_labels
        Of the canary: added to its rate, as a factor, taken from its rate.
    after
        It is like the control for so many requests first.
    """

    name: str
    share: float = 0.5
    n: int = 6000
    per_s: float = 50.0
    errors: float = 0.01
    labels: float = 0.8
    tail: int = 0
    drift: float = 1.0
    outages: bool = False
    batch: int = 1
    own_s: float = 0.0
    own: float = 0.3
    ramp: tuple[float, ...] = ()
    more_errors: float = 0.0
    slower: float = 1.0
    worse_labels: float = 0.0
    after: int = 0


@attrs.frozen
class Drawn:
    """Requests in order, as plain lists: when, whether it was the canary, what came of it."""

    at: list[float]
    canary: list[bool]
    failed: list[bool]
    total_s: list[float]
    right: list[bool]
    weights: list[tuple[int, float]]

    def __iter__(self) -> Iterator[tuple[float, bool, bool, float, bool]]:
        return zip(self.at, self.canary, self.failed, self.total_s, self.right, strict=True)


def draw(traffic: Traffic, chance: np.random.Generator) -> Drawn:
    """Return the requests of one run."""
    n = traffic.n
    at = np.arange(n) / traffic.per_s
    ramp = traffic.ramp or (traffic.share,)
    part = np.arange(n) * len(ramp) // n
    canary = chance.random(n) < np.array(ramp)[part]
    faulty = canary & (np.arange(n) >= traffic.after)
    wave = traffic.drift ** np.sin(at * 2 * np.pi / 60)
    out = (at % 30 < 2) & traffic.outages
    errors = np.where(out, 0.5, np.minimum(1.0, traffic.errors * wave)) + traffic.more_errors * faulty
    log_s = -4 + np.log(wave) / 2 + np.log(3) * out + np.log(traffic.slower) * faulty
    log_s += _noise(traffic, canary, chance) + _own(traffic, canary, chance)
    labels = traffic.labels - traffic.worse_labels * faulty
    return Drawn(
        at.tolist(),
        canary.tolist(),
        (chance.random(n) < errors).tolist(),
        np.exp(log_s).tolist(),
        (chance.random(n) < labels).tolist(),
        [(int(np.argmax(part == number)), share) for number, share in enumerate(ramp)],
    )


def _noise(traffic: Traffic, canary: NDArray[np.bool_], chance: np.random.Generator) -> Floats:
    """Return what each request, or each batch of one version, differs by."""
    place = np.where(canary, np.cumsum(canary), np.cumsum(~canary)) // traffic.batch
    values = chance.standard_t(traffic.tail, (2, traffic.n + 1)) if traffic.tail else _normal(traffic, chance)
    return SPREAD * values[canary.astype(int), place]


def _normal(traffic: Traffic, chance: np.random.Generator) -> Floats:
    return chance.standard_normal((2, traffic.n + 1))


def _own(traffic: Traffic, canary: NDArray[np.bool_], chance: np.random.Generator) -> Floats:
    """Return how each version is disturbed by itself: an autoregressive process of its own."""
    if not traffic.own_s:
        return np.zeros(traffic.n)
    keeps = np.exp(-1 / (traffic.per_s * traffic.own_s))
    steps = chance.standard_normal((2, traffic.n)) * traffic.own * np.sqrt(1 - keeps**2)
    both = lfilter([1.0], [1.0, -keeps], steps)
    return np.asarray(both[canary.astype(int), np.arange(traffic.n)])
