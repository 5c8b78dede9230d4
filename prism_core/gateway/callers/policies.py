"""What a limit says: of itself in headers, and to whom it refuses."""

from __future__ import annotations

from math import ceil

from prism_core.errors import QuotaExceeded, RateLimited
from prism_core.gateway.callers.buckets import Pace
from prism_core.rates import Rate

_REFUSALS = {
    "address": "Your address may ask no more than {}.",
    "key": "These credentials may ask no more than {}.",
    "link": "This link may be asked no more than {} by all together.",
    "model": "This model may be asked no more than {} by all together.",
}


class Policy:
    """One sort of limit: its name, its pace, and how answers tell of it.

    The headers are those of draft-ietf-httpapi-ratelimit-headers-11: a quota of ``q`` requests in
    a window of ``w`` seconds, of which ``r`` are left, and in ``t`` seconds there is more.

    Parameters
    ----------
    name
        ``address``, ``key``, ``link`` or ``model``.
    pace
        How many requests in which time.
    text
        The same for people.
    """

    __slots__ = ("_lines", "name", "pace", "text")

    def __init__(self, name: str, pace: Pace, text: str) -> None:
        self.name = name
        self.pace = pace
        self.text = text
        window_s = max(1, ceil(pace.burst * pace.interval_s - 1e-6))
        policy = f'ratelimit-policy: "{name}";q={pace.burst};w={window_s}\r\n'
        self._lines = f'{policy}ratelimit: "{name}";r=%d;t=%d\r\n'.encode()

    @classmethod
    def of(cls, name: str, rate: Rate) -> Policy:
        """Return the policy of a rate."""
        return cls(name, Pace.of(rate), str(rate))

    def lines(self, ahead_s: float) -> bytes:
        """Return header lines for an answer, where the bucket is full in ``ahead_s`` now."""
        left, next_s = self.pace.state(ahead_s)
        return self._lines % (left, ceil(next_s))

    def refusal(self, ahead_s: float) -> RateLimited:
        """Return why a request does not come in now, and when it may."""
        wait_s = self.pace.wait_s(ahead_s)
        error = RateLimited(
            _REFUSALS[self.name].format(self.text),
            hint=f"Try again in {ceil(wait_s)} s.",
            details={"limit": self.name, "rate": self.text, "retry_after_s": wait_s},
        )
        error.lines = self.lines(ahead_s)
        return error


def quota_lines(quota: int, used: int) -> bytes:
    """Return header lines for a caller with a quota. It is no rate: there is no window."""
    left = max(0, quota - used)
    return b'ratelimit-policy: "quota";q=%d\r\nratelimit: "quota";r=%d\r\n' % (quota, left)


def quota_refusal(quota: int, used: int) -> QuotaExceeded:
    """Return why a caller with a quota does not come in any more."""
    error = QuotaExceeded(
        f"The quota of {quota} predictions is used up.",
        hint="Waiting does not help; ask the owner for more.",
        details={"limit": "quota", "quota": quota, "used": used},
    )
    error.lines = quota_lines(quota, used)
    return error
