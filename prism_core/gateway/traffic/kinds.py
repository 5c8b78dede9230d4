"""What is found out about routed requests: plain values, which followers report to their leader."""

from __future__ import annotations

import msgspec

from prism_core.traffic.comparing import Agreement


class RoutedCall(msgspec.Struct, tag="routed", frozen=True, gc=False):
    """One request that went by a route and was answered, or was not: ``status`` 499 is one whose sender left.

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
    rule
        The place, from 1, of the rule that chose the arm; 0: the split did, or whatever was in its place.
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
    rule: int = 0


class Remembered(msgspec.Struct, tag="remembered", frozen=True, gc=False):
    """What is needed to judge an answer later, when somebody knows what was right.

    Parameters
    ----------
    at, request, model, revision, arm, answered
        As in `RoutedCall`.
    chance
        With what probability the split chose the arm; 0 where something else decided.
    caller
        The id of who asked, as in `Sender`.
    output, media_type, answer
        The answer as the runtime sent it, and the name of the tensor in it that is the prediction. Empty
        where it cannot be compared with a label, or is too long to keep.
    """

    at: float
    request: str
    model: str
    revision: int
    arm: str
    answered: str
    chance: float = 0.0
    caller: str = ""
    output: str = ""
    media_type: str = ""
    answer: bytes = b""


class Unremembered(msgspec.Struct, tag="unremembered", frozen=True, gc=False):
    """So many answers of a model that should have been `Remembered`, and were too many at once."""

    model: str
    count: int


class Judged(msgspec.Struct, tag="judged", frozen=True, gc=False):
    """What an answer was worth, as somebody has found out later. The leader alone makes these.

    Parameters
    ----------
    at
        When that came, in Unix seconds.
    request, model, revision, arm, chance
        As in `Remembered`.
    reward
        Between 0, as wrong as can be, and 1, right.
    """

    at: float
    request: str
    model: str
    revision: int
    arm: str
    reward: float
    chance: float = 0.0


class CircuitMoved(msgspec.Struct, tag="circuit", frozen=True, gc=False):
    """The circuit of a version has another state, in one gateway process.

    Parameters
    ----------
    at
        When, in Unix seconds.
    model, arm
        Whose route leads to which version.
    state
        ``closed``, ``open`` or ``half_open``.
    gateway
        The id of the process.
    """

    at: float
    model: str
    arm: str
    state: str
    gateway: int


class UnclearRule(msgspec.Struct, tag="unclear_rule", frozen=True, gc=False):
    """A rule that was neither true nor false for a request, and so did not decide.

    Parameters
    ----------
    model, revision
        As in `RoutedCall`.
    rule
        Its place in the route, from 1.
    reason, message
        Why: in a word, and in a sentence that quotes nothing of the request.
    """

    model: str
    revision: int
    rule: int
    reason: str
    message: str


class Compared(msgspec.Struct, tag="compared", frozen=True, gc=False):
    """One answer beside that of a shadow.

    Parameters
    ----------
    at, request, model, revision, arm
        As in `RoutedCall`.
    live, shadow
        The references of who answered and of who was asked too.
    rows, agreed, why
        As in `prism_core.traffic.comparing.Difference`: rows that were compared, those of them that agree,
        and why none was.
    live_code, code
        ``ok``, or the code of the error, of both.
    live_s, shadow_s
        How long the answers took; negative where that says nothing, of a cached answer for instance.
    """

    at: float
    request: str
    model: str
    revision: int
    arm: str
    live: str
    shadow: str
    rows: int
    agreed: int
    why: str
    live_code: str
    code: str
    live_s: float
    shadow_s: float


class Shadowed(msgspec.Struct, tag="shadowed", frozen=True):
    """What one gateway has found out about a shadow since it last told.

    Parameters
    ----------
    at
        When, in Unix seconds.
    model, live, shadow
        As in `Compared`.
    agreement
        What the pairs add up to.
    dropped
        Requests of which the shadow was not asked, by why.
    """

    at: float
    model: str
    live: str
    shadow: str
    agreement: Agreement
    dropped: dict[str, int] = {}


class Hedged(msgspec.Struct, tag="hedged", frozen=True, gc=False):
    """What became of the second question of a request.

    Parameters
    ----------
    model, arm
        Whose route asks which version.
    what
        ``asked``, and then perhaps ``won``: its answer came first. Or why it was not asked: ``no_budget``,
        or ``no_room`` on another replica.
    """

    model: str
    arm: str
    what: str


class ReplicaMoved(msgspec.Struct, tag="replica", frozen=True, gc=False):
    """The circuit of a replica has another state, in one gateway process.

    Parameters
    ----------
    at
        When, in Unix seconds.
    model, version, address
        Which replica.
    state
        ``closed``, ``open``, ``half_open``, or ``gone`` with the replica.
    gateway
        The id of the process.
    """

    at: float
    model: str
    version: int
    address: str
    state: str
    gateway: int


# A tagged union.
TrafficRecord = (
    RoutedCall
    | Remembered
    | Unremembered
    | Judged
    | CircuitMoved
    | UnclearRule
    | Compared
    | Shadowed
    | Hedged
    | ReplicaMoved
)
