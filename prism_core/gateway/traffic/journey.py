"""The way of one request by a route: the version that was chosen, and the fallbacks where that fails.

Written with callbacks, as `Asking` is. Whatever happens, it is answered exactly once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import attrs

from prism_core.errors import InternalError, PrismError, ReplicaLost
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.chains import Chain
from prism_core.gateway.traffic.circuits import OPEN
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.sender import Sender
from prism_core.gateway.traffic.steps import Step

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.traffic.routed import Routed

# With less than this share of the time that it may have, a version that is late is not to blame.
ENOUGH = 0.9
# The least that a version is given: less would be no time at all, and is told as one that has passed.
LEAST_S = 0.001


# Nobody changes one; a frozen class takes a microsecond more to make.
@attrs.define(slots=True, eq=False)
class Ended:
    """A routed request that has been answered.

    ``lane`` is the one that was chosen, None for an ensemble or a version that is not served; ``outcome``
    what was answered.
    """

    head: Head
    body: bytes | memoryview
    sender: Sender
    lane: Lane | None
    outcome: Prediction | Exception
    call: RoutedCall


class Journey:
    """A request on its way by a route. Made by `Routed.ask`.

    Parameters
    ----------
    routed
        The route.
    steps
        Who is asked, in order; the first was chosen, the others are fallbacks.
    begun, timeout_s
        When it began, on the monotonic clock, and how long it may take in all; 0 for as long as the version
        that is asked first takes.

    Attributes
    ----------
    done
        Whether it was answered or cancelled.
    """

    __slots__ = (
        "_answer",
        "_asking",
        "_begun",
        "_body",
        "_deadline",
        "_error",
        "_failure",
        "_given_s",
        "_head",
        "_next",
        "_request",
        "_routed",
        "_sender",
        "_steps",
        "_suspect",
        "_timer",
        "done",
    )

    def __init__(
        self,
        routed: Routed,
        steps: Chain,
        head: Head,
        body: bytes | memoryview,
        begun: float,
        timeout_s: float,
        answer: OnAnswer,
        request: str,
        sender: Sender,
    ) -> None:
        self._routed = routed
        self._steps = steps
        self._head = head
        self._body = body
        self._begun = begun
        self._deadline = begun + (timeout_s or steps[0].own_s)
        self._given_s = 0.0  # to the step that is asked now
        self._answer = answer
        self._request = request
        self._sender = sender
        self._next = 0
        self._failure = ""
        self._error: Exception | None = None  # why the chosen one did not answer
        self._suspect = False  # a replica was lost with it: it is asked alone
        self._asking: Pending | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.done = False

    def go_on(self, now: float) -> None:
        """Ask the next one; ``now`` is on the monotonic clock."""
        step = self._step_at(now)
        left_s = self._deadline - now
        timeout_s = step.timeout_s
        if timeout_s >= left_s:
            timeout_s = left_s if left_s > LEAST_S else LEAST_S
        elif self._next < len(self._steps):
            # On the minute: a replica gets a moment more to say so itself, which the next one needs.
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._expire)
        self._given_s = timeout_s
        at, ask = self._next, step.ask
        if self._suspect and step.suspect is not None:
            ask = step.suspect
        asking = ask(self._head, self._body, timeout_s, self._heard, self._request)
        if self._next == at and not (self.done or asking is None or asking.done):
            self._asking = asking

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.done:
            return
        self.done = True
        self._disarm()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
        self._routed.record(self._call("", 499, "cancelled", "bypass"))

    def expire(self) -> None:
        """Its time is over, before its deadline: nobody else is asked."""
        self._deadline = 0.0
        self._expire()

    def _step_at(self, now: float) -> Step:
        """Return the next step, past those whose circuits are open; the last one is asked all the same."""
        last = len(self._steps) - 1
        while True:
            at = self._next
            step = self._steps[at]
            self._next = at + 1
            circuit = step.circuit
            if circuit is None or not circuit.strained or circuit.allows(now) or at == last:
                return step
            self._failure = self._failure or OPEN

    def _expire(self) -> None:
        self._timer = None
        asking = self._asking
        if asking is not None:
            asking.expire()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _heard(self, outcome: Prediction | Exception) -> None:
        if self.done:
            return
        self._asking = None
        if self._timer is not None:
            self._disarm()
        step = self._steps[self._next - 1]
        if isinstance(outcome, Prediction):
            if step.circuit is not None and step.circuit.troubled:
                step.circuit.worked(outcome)
            self._answered(step, outcome)
        else:
            self._failed(step, outcome, time.monotonic())

    def _failed(self, step: Step, error: Exception, now: float) -> None:
        if step.circuit is not None:
            hurried = self._given_s < ENOUGH * min(step.timeout_s, step.own_s)
            step.circuit.failed(error, now, hurried=hurried)
        if not step.may_pass(error):
            self._refused(error)
            return
        self._failure = self._failure or _code(error)
        self._error = self._error or error
        self._suspect = self._suspect or isinstance(error, ReplicaLost)
        if self._next < len(self._steps) and now < self._deadline:
            self.go_on(now)
        else:
            self._refused(self._error)

    def _answered(self, step: Step, outcome: Prediction) -> None:
        answered = step.arm
        if step.lane is None:  # an ensemble, or a value, of which no version is the answer
            answered = f"{outcome.model}/{outcome.version}" if outcome.version else ""
        if self._failure:
            outcome.lines += b"x-prism-fallback: %b\r\n" % self._failure.encode()
        if outcome.model != self._routed.model:  # else the version's number would be taken for another's
            outcome.lines += b"x-prism-model: %b\r\n" % outcome.model.encode()
        self._end(outcome, self._call(answered, 200, "ok", outcome.cache))

    def _refused(self, error: Exception) -> None:
        told = error if isinstance(error, PrismError) else InternalError("")
        self._end(error, self._call("", told.status, told.code, "bypass"))

    def _end(self, outcome: Prediction | Exception, call: RoutedCall) -> None:
        self.done = True
        routed = self._routed
        if not routed.taps:
            self._answer(outcome)
            routed.record(call)
            return
        body = outcome.body if isinstance(outcome, Prediction) else b""
        self._answer(outcome)
        if isinstance(outcome, Prediction):
            outcome.body = body  # whoever has sent it in the words of a dialect has cut it
        routed.record(call)
        routed.ended(Ended(self._head, self._body, self._sender, self._steps[0].lane, outcome, call))

    def _call(self, answered: str, status: int, code: str, cache: str) -> RoutedCall:
        chosen = self._steps[0]
        return RoutedCall(
            time.time(),
            self._request,
            self._routed.model,
            self._routed.revision,
            chosen.arm,
            answered,
            status,
            code,
            time.monotonic() - self._begun,
            self._failure,
            cache,
            chosen.rule,
        )


def _code(error: Exception) -> str:
    return error.code if isinstance(error, PrismError) else InternalError.code
