"""How much of the traffic of a split moves, and from where to where, when its weights change.

Exact, for keys as `prism_core.traffic.splitting` places them. There a key gives each share ``k`` a number
``E_k`` that is exponentially distributed, and goes to the least ``E_k / w_k``; the weight ``w_k`` becomes
``v_k``. It goes from ``i`` to ``j`` where ``E_i / w_i = x`` is the least before and ``E_j / v_j = y``
afterwards; with ``r = y / x`` all others are at least ``max(w_k, r v_k) x``. The density of that, integrated
over ``x``, is ``w_i v_j / S(r)**2`` with ``S(r) = w_i + r v_j + sum(max(w_k, r v_k))``, and ``r`` runs from
``w_j / v_j`` to ``w_i / v_i``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import inf

import attrs

# Less is noise of the arithmetic.
_LEAST = 1e-9


@attrs.frozen
class Move:
    """So many of a hundred requests, or users, that go from one version to another."""

    source: str
    target: str
    percent: float


def moves(before: Mapping[str, float], after: Mapping[str, float]) -> list[Move]:
    """Return what moves between shares when their weights change, the largest move first."""
    names = sorted(before.keys() | after.keys())
    was, then = ({name: max(0.0, weights.get(name, 0.0)) for name in names} for weights in (before, after))
    # Only relations count; so the numbers below are of one size.
    was, then = _scaled(was), _scaled(then)
    found = [
        Move(one, other, round(part * 100, 6))
        for one in names
        for other in names
        if one != other and (part := _part(was, then, one, other)) > _LEAST
    ]
    return sorted(found, key=lambda move: (-move.percent, move.source, move.target))


def _scaled(weights: Mapping[str, float]) -> dict[str, float]:
    most = max(weights.values(), default=0.0) or 1.0
    return {name: weight / most for name, weight in weights.items()}


def _part(was: Mapping[str, float], then: Mapping[str, float], one: str, other: str) -> float:
    """Return the part of all keys that goes from ``one`` to ``other``."""
    if not was[one] or not then[other]:
        return 0.0
    begin = was[other] / then[other]
    end = was[one] / then[one] if then[one] else inf
    if begin >= end:
        return 0.0
    others = [(was[name], then[name]) for name in was if name not in (one, other)]
    whole = sum(_integral(was[one], then[other], others, a, b) for a, b in _pieces(others, begin, end))
    return was[one] * then[other] * whole


def _pieces(others: list[tuple[float, float]], begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield the ranges of ``r`` in which ``S`` is a straight line."""
    turns = sorted({w / v for w, v in others if v and begin < w / v < end})
    edges = [begin, *turns, end]
    yield from pairwise(edges)


def _integral(w: float, v: float, others: list[tuple[float, float]], a: float, b: float) -> float:
    """Integrate ``1 / (level + slope r)**2`` from ``a`` to ``b``, where ``S`` is that line."""
    middle = a + 1.0 if b == inf else (a + b) / 2
    level = w + sum(was for was, then in others if was >= middle * then)
    slope = v + sum(then for was, then in others if was < middle * then)
    return (1 / (level + slope * a) - (0.0 if b == inf else 1 / (level + slope * b))) / slope
