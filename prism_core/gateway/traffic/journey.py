"""The way of one request by a route: the version that was chosen, and the fallbacks where that fails.

Written with callbacks, as `Asking` is. Whatever happens, it is answered exactly once.
"""

from __future__ import annotations

import asyncio
import time
from copy import copy
from typing import TYPE_CHECKING

import attrs

from prism_core.errors import InternalError, PrismError, ReplicaLost
from prism_core.gateway.asking import Head, OnAnswer, Prediction
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


@attrs.frozen(slots=True)
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
        "_head",
        "_hurried",
        "_next",
        "_request",
        "_routed",
        "_sender",
        "_steps",
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
        self._hurried = False
        self._answer = answer
        self._request = request
        self._sender = sender
        self._next = 0
        self._failure = ""
        self._error: Exception | None = None  # why the chosen one did not answer
        self._asking: Pending | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.done = False

    def go_on(self) -> None:
        """Ask the next one."""
        step, now = self._choose()
        left_s = timeout_s = max(0.001, self._deadline - now)
        if step.timeout_s < left_s:
            timeout_s = step.timeout_s
            if self._next < len(self._steps):
                # On the minute: a replica gets a moment more to say so itself, which the next one needs.
                self._timer = asyncio.get_running_loop().call_later(timeout_s, self._expire)
        self._hurried = timeout_s < ENOUGH * min(step.timeout_s, step.own_s)
        at = self._next
        ask = step.suspect if step.suspect is not None and isinstance(self._error, ReplicaLost) else step.ask
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
        self._routed.left(self._call("", 499, "cancelled", "bypass"))

    def expire(self) -> None:
        """Its time is over, before its deadline: nobody else is asked."""
        self._deadline = 0.0
        self._expire()

    def _choose(self) -> tuple[Step, float]:
        """Return the next step, past those whose circuits are open, and the time."""
        now, last = time.monotonic(), len(self._steps) - 1
        while True:
            at = self._next
            step = self._steps[at]
            self._next = at + 1
            circuit = step.circuit
            if circuit is None or not circuit.strained or circuit.allows(now) or at == last:
                return step, now
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
        self._disarm()
        now, step = time.monotonic(), self._steps[self._next - 1]
        if step.circuit is not None:
            step.circuit.hear(outcome, now, hurried=self._hurried)
        if isinstance(outcome, Prediction) or not step.may_pass(outcome):
            self._end(outcome, now)
        else:
            self._failed(outcome, now)

    def _failed(self, error: Exception, now: float) -> None:
        self._failure = self._failure or _code(error)
        self._error = self._error or error
        if self._next < len(self._steps) and now < self._deadline:
            self.go_on()
        else:
            self._end(self._error, now)

    def _end(self, outcome: Prediction | Exception, now: float) -> None:
        self.done = True
        if isinstance(outcome, Prediction):
            if self._failure:
                outcome.lines += b"x-prism-fallback: %b\r\n" % self._failure.encode()
            if outcome.model != self._routed.model:  # else the version's number would be taken for another's
                outcome.lines += b"x-prism-model: %b\r\n" % outcome.model.encode()
            answered = f"{outcome.model}/{outcome.version}" if outcome.version else ""
            call = self._call(answered, 200, "ok", outcome.cache)
        else:
            told = outcome if isinstance(outcome, PrismError) else InternalError("")
            call = self._call("", told.status, told.code, "bypass")
        # Whoever sends it in the words of a dialect cuts its body.
        kept = copy(outcome) if self._routed.taps else outcome
        self._answer(outcome)
        self._routed.ended(Ended(self._head, self._body, self._sender, self._steps[0].lane, kept, call))

    def _call(self, answered: str, status: int, code: str, cache: str) -> RoutedCall:
        return RoutedCall(
            time.time(),
            self._request,
            self._routed.model,
            self._routed.revision,
            self._steps[0].arm,
            answered,
            status,
            code,
            time.monotonic() - self._begun,
            self._failure,
            cache,
            self._steps[0].rule,
        )


def _code(error: Exception) -> str:
    return error.code if isinstance(error, PrismError) else InternalError.code
