"""Which share of a split a request belongs to: weighted rendezvous hashing.

Each share scores ``weight / -ln(u)``, where ``u`` in (0, 1) is a hash of the request's key and the share; the
highest score wins, with a probability that is proportional to its weight (Schindelhauer and Schomaker,
SPAA 2005; Resch, 2015). A weight that grows moves keys towards its share only, as many as it grew by: all
other scores stay what they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

from prism_core.traffic.targets import Share

# As many bits as a float holds with the half that keeps it away from 0 and 1.
_BITS = 52


def score(weight: float, key: bytes, share: bytes) -> float:
    """Return what a share of ``weight`` bids for the request ``key``; 0 for one without a weight."""
    if weight <= 0:
        return 0.0
    drawn = int.from_bytes(blake2b(key, digest_size=8, key=share[:64]).digest(), "big") >> (64 - _BITS)
    return weight / -math.log((drawn + 0.5) / (1 << _BITS))


def choose(shares: Iterable[tuple[Share, bytes]], key: bytes) -> Share | None:
    """Return the share of a request; each comes with the bytes that name it. None where none has a weight."""
    best, most = None, 0.0
    for share, name in shares:
        bid = score(share.weight, key, name)
        if bid > most:
            best, most = share, bid
    return best
