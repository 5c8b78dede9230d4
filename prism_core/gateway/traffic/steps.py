"""What a journey is made of: each step asks somebody, or has its answer ready. Plain values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from prism_core.errors import ModelNotFound, RequestError
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.circuits import VersionCircuit

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# Of what is no version; as models.*.timeout_s where nobody sets it.
OWN_S = 30.0
JSON = "application/json"
# What a client that takes PRISM's JSON may accept.
_TAKES_JSON = frozenset({"", "*/*", "application/*", JSON})

# Asks with head, body, seconds from now (0: the version's own time) and X-Request-Id; see `Lane.ask`.
AskStep = Callable[[Head, bytes | memoryview, float, OnAnswer, str], Pending | None]


def may_pass(failure: Exception) -> bool:
    """Return whether another version may have an answer: what the caller did wrong is wrong with each.

    A version that is not served, or is just being stopped, is not the caller's fault here: the route leads
    there.
    """
    return not isinstance(failure, RequestError) or isinstance(failure, ModelNotFound)


@attrs.frozen(eq=False, slots=True)
class Step:
    """Who is asked, and when somebody else is.

    Parameters
    ----------
    arm
        What it is called in a `RoutedCall`, where it was chosen: ``churn/4``.
    ask
        Asks it.
    lane
        Of a version; None for what is none.
    timeout_s
        How long it has by the route.
    own_s
        How long it has where neither the route nor the request says so.
    circuit
        Leaves it out while it fails; None: it is always asked.
    suspect
        Asks it something that may have ended a replica of another version; None: as ``ask`` does.
    may_pass
        Whether the next one is asked after this failure.
    rule
        Of a chosen one: the place, from 1, of the rule that chose it.
    """

    arm: str
    ask: AskStep
    lane: Lane | None = None
    timeout_s: float = math.inf
    own_s: float = OWN_S
    circuit: VersionCircuit | None = None
    suspect: AskStep | None = None
    may_pass: Callable[[Exception], bool] = may_pass
    rule: int = 0


def absent_step(reference: str, error: Callable[[], Exception], own_s: float = OWN_S) -> Step:
    """Return the step of a version that is not served; ``error`` returns why."""

    def ask(
        head: Head, body: bytes | memoryview, timeout_s: float, answer: OnAnswer, request: str = ""
    ) -> None:
        answer(error())

    return Step(reference, ask, own_s=own_s)


def value_step(model: str, value: Any) -> Step:
    """Return the step that answers with a value, as JSON; version 0 says that no version did."""
    return Step("", partial(_tell, model, msgspec.json.encode(value)))


def _tell(
    model: str,
    value: bytes,
    head: Head,
    body: bytes | memoryview,
    timeout_s: float,
    answer: OnAnswer,
    request: str = "",
) -> None:
    answer(Prediction(value, JSON, model, 0, 0))


def takes_json(head: Head) -> bool:
    """Return whether whoever asks takes a value: V2, gRPC and other media types have no form for it."""
    accept = head.accept
    return accept in _TAKES_JSON or any(
        part.partition(";")[0].strip() in _TAKES_JSON for part in accept.split(",")
    )
