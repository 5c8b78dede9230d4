"""What is found out about routed requests: plain values, which followers report to their leader."""

from __future__ import annotations

import msgspec


class RoutedCall(msgspec.Struct, tag="routed", frozen=True, gc=False):
    """One request that went by a route and was answered, or was not.

    Parameters
    ----------
    at
        When it ended, in Unix seconds.
    request
        Its X-Request-Id.
    model, revision
        Whose route, and which one: each change of a route has a number of its own.
    arm
        The reference of what was chosen for it, before any fallback: ``churn/4``.
    answered
        The reference of what answered; "" for a fallback's value, or where nothing did.
    status, code
        Of the answer, as in `CallRecord`.
    total_s
        From the choice to the answer.
    failure
        The code of the error for which the chosen version did not answer, "" where it did.
    cache
        How the answer was had, as in `CallRecord`.
    """

    at: float
    request: str
    model: str
    revision: int
    arm: str
    answered: str
    status: int
    code: str
    total_s: float
    failure: str = ""
    cache: str = "bypass"


# A tagged union, as soon as there is a second kind.
TrafficRecord = RoutedCall
