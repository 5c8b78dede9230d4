"""Which share of a split a request belongs to: weighted rendezvous hashing.

For each request a share scores ``ln(u) / weight``, where ``u`` in (0, 1) comes of the request's key and the
share's name alone; the highest score wins, with a probability that is proportional to the weight
(Schindelhauer and Schomaker, SPAA 2005; Resch, 2015). So all gateways choose alike, before and after a
restart, and a change moves few: where one weight grows, keys come to its share and nothing else moves.

A key is hashed once. From there each share has a line of its own, ``(slope * key + height) mod P``, whose
slope and height are a hash of its name: as even as a hash for each share, and quicker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from itertools import accumulate
from math import inf, log
from random import random
from typing import Generic, TypeVar

Thing = TypeVar("Thing")

# A prime: a line of whatever slope passes each value once. 2**61 - 1 is about as long as a hash.
_PRIME = (1 << 61) - 1
_STEP = 1.0 / _PRIME


class Split(Generic[Thing]):
    """Shares to choose among.

    Parameters
    ----------
    salt
        The model: the users of one model's canary are not those of another's.
    shares
        The name, the weight and the thing of each; the name says which keys it has.
    """

    __slots__ = ("_edges", "_last", "_lines", "_salt", "_things", "_total")

    def __init__(self, salt: str, shares: Iterable[tuple[str, float, Thing]]) -> None:
        weighty = [share for share in shares if share[1] > 0]
        heaviest = max((weight for _, weight, _ in weighty), default=1.0)
        self._salt = blake2b(salt.encode(), digest_size=16).digest()
        self._things = [thing for _, _, thing in weighty]
        self._lines = [(*_line_of(name), heaviest / weight, thing) for name, weight, thing in weighty]
        self._edges = list(accumulate(weight / heaviest for _, weight, _ in weighty))
        self._total = self._edges[-1] if weighty else 0.0
        self._last = len(weighty) - 1

    def choose(self, key: bytes = b"") -> Thing | None:
        """Return the thing of the requests of ``key``; without a key one is drawn for this request.

        None where no share has a weight.
        """
        if self._last < 1:
            return None if self._last else self._things[0]
        if not key:
            return self._things[bisect_right(self._edges, random() * self._total, 0, self._last)]
        point = int.from_bytes(blake2b(self._salt + key, digest_size=8).digest(), "little")
        best, most = None, -inf
        for slope, height, per_weight, thing in self._lines:
            score = log(((slope * point + height) % _PRIME + 0.5) * _STEP) * per_weight
            if score > most:
                best, most = thing, score
        return best


def _line_of(name: str) -> tuple[int, int]:
    """Return the slope and the height of a share's line."""
    drawn = blake2b(name.encode(), digest_size=16, person=b"share").digest()
    slope, height = int.from_bytes(drawn[:8], "little"), int.from_bytes(drawn[8:], "little")
    return slope % (_PRIME - 1) + 1, height % _PRIME
