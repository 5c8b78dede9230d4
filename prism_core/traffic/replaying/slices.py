"""Where two versions differ most: the slices in which more rows differ than elsewhere, beyond chance.

Each slice is asked by Fisher's exact test (one-sided) whether as many rows would differ in it by chance.
Hundreds of slices are looked at, so that of one in twenty chance says so: each must be as many times less
likely as there are slices (Bonferroni).
"""

from __future__ import annotations

import math

import attrs

from prism_core.traffic.replaying.counting import Candidate, Count, Features
from prism_core.traffic.replaying.features import Row

# A slice of fewer rows, or one in which hardly more differ, tells nobody what to do.
LEAST_ROWS = 20
LEAST_SHARE = 0.01
# How likely chance may show any slice at all.
CHANCE = 0.01
MOST_SLICES = 5
# A logarithm that adds nothing to a sum in which there is a 0.
_NOTHING = 40.0


@attrs.frozen
class Slice:
    """A slice in which more rows differ than elsewhere.

    ``chance`` is how likely that is by chance, for all slices that were looked at together. ``within`` is the
    part of it in which most differ, in words; "" where its parts are alike.
    """

    feature: str
    said: str
    rows: int
    differ: int
    elsewhere_rows: int
    elsewhere_differ: int
    chance: float
    within: str = ""

    @property
    def words(self) -> str:
        """It in one sentence, without what is ``within``."""
        here, there = Count(self.rows, self.differ), Count(self.elsewhere_rows, self.elsewhere_differ)
        return (
            f"{self.said}: {percent(here.share)} differ ({self.differ:,} of {self.rows:,} rows), "
            f"elsewhere {percent(there.share)}"
        )


def worst(features: Features, independent: float = 1.0) -> list[Slice]:
    """Return the slices in which most rows differ that would not elsewhere, the worst first.

    One that is such only because of those before it is left out.

    Parameters
    ----------
    independent
        For how many rows of its own a row counts: rows of one request are alike.
    """
    kept: list[Candidate] = []
    slices: list[Slice] = []
    for slice_, candidate in _ranked(features, independent):
        rest = [one for one in features.sample if not any(other.holds(one[0]) for other in kept)]
        if kept and not _stands_out(candidate, rest, independent):
            continue
        inside = [one for one in rest if candidate.holds(one[0])]
        slices.append(attrs.evolve(slice_, within=_within(inside, candidate.feature, independent)))
        kept.append(candidate)
        if len(slices) == MOST_SLICES:
            break
    return slices


def _ranked(features: Features, independent: float) -> list[tuple[Slice, Candidate]]:
    total, candidates = features.total, features.candidates()
    looked = [one for one in candidates if LEAST_ROWS <= one.count.rows < total.rows]
    told = ((_slice(total, one, len(looked), independent), one) for one in looked)
    found = [(slice_, one) for slice_, one in told if slice_ is not None]
    found.sort(key=lambda pair: _excess(pair[0]), reverse=True)
    return _distinct(found)


def _stands_out(candidate: Candidate, rows: list[tuple[Row, bool]], independent: float) -> bool:
    """Return whether more rows differ in it, also among the rows that no other slice explains."""
    total, here = Count(), Count()
    for row, differs in rows:
        total.add(differs)
        if candidate.holds(row):
            here.add(differs)
    left = Candidate(candidate.feature, candidate.said, here, candidate.has)
    return LEAST_ROWS <= here.rows < total.rows and _slice(total, left, 1, independent) is not None


def _within(rows: list[tuple[Row, bool]], feature: str, independent: float) -> str:
    """Return the part of a slice, by another feature, in which most of its rows differ, in words."""
    inside = Features()
    for row, differs in rows:
        inside.add({name: value for name, value in row.items() if name != feature}, differs)
    best = next(iter(_ranked(inside, independent)), None)
    if best is None:
        return ""
    here, there = best[1].count, inside.total - best[1].count
    return f"of these {percent(here.share)} where {best[0].said}, and {percent(there.share)} of the others"


def chance_of(total: Count, part: Count) -> float:
    """Return how likely at least as many rows of a part differ by chance, where so many of all do."""
    equal = total.rows - total.differ
    ways = _log_ways(total.rows, part.rows)
    logs: list[float] = []
    for hits in range(max(part.differ, part.rows - equal), min(part.rows, total.differ) + 1):
        logs.append(_log_ways(total.differ, hits) + _log_ways(equal, part.rows - hits) - ways)
        if logs[-1] < max(logs) - _NOTHING:
            break  # above what is likely each is less likely than the one before
    top = max(logs, default=-math.inf)
    return min(1.0, math.exp(top) * sum(math.exp(one - top) for one in logs)) if logs else 0.0


def percent(share: float) -> str:
    """Return a share for people: ``31 %``, ``0.4 %``."""
    value = share * 100
    if 0 < value < 0.01:
        return "under 0.01 %"
    return f"{value:.0f} %" if value >= 10 or not value else f"{value:.2g} %"


def _slice(total: Count, one: Candidate, looked: int, independent: float) -> Slice | None:
    here, there = one.count, total - one.count
    if here.share < there.share + LEAST_SHARE:
        return None
    chance = min(1.0, chance_of(_scaled(total, independent), _scaled(here, independent)) * looked)
    if chance > CHANCE:
        return None
    return Slice(one.feature, one.said, here.rows, here.differ, there.rows, there.differ, chance)


def _distinct(found: list[tuple[Slice, Candidate]]) -> list[tuple[Slice, Candidate]]:
    """Return the first of each feature: other ranges of the same one say the same again."""
    first: dict[str, tuple[Slice, Candidate]] = {}
    for slice_, candidate in found:
        first.setdefault(candidate.feature, (slice_, candidate))
    return list(first.values())


def _excess(one: Slice) -> float:
    """Return how many rows differ that would not if it were like the rest, in standard deviations."""
    there = Count(one.elsewhere_rows, one.elsewhere_differ).share
    share = (one.differ + one.elsewhere_differ) / (one.rows + one.elsewhere_rows)
    excess = one.differ - there * one.rows
    return excess / math.sqrt(max(one.rows * share * (1 - share), 1e-9))


def _scaled(count: Count, factor: float) -> Count:
    if factor >= 1:
        return count
    rows = max(1, round(count.rows * factor))
    return Count(rows, min(rows, round(count.differ * factor)))


def _log_ways(rows: int, chosen: int) -> float:
    if not 0 <= chosen <= rows:
        return -math.inf
    return math.lgamma(rows + 1) - math.lgamma(chosen + 1) - math.lgamma(rows - chosen + 1)
