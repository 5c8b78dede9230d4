"""The way of one request by a route: the version that was chosen, and the fallbacks where that fails.

Written with callbacks, as `Asking` is. Whatever happens, it is answered exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from prism_core.errors import DeadlineExceeded, ModelFailed, Overloaded, PrismError, ServingError
from prism_core.gateway.asking import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.sender import Sender

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.traffic.routed import Routed

# For these another version may have an answer; what the caller did wrong is wrong with every version.
PASSED_ON = (DeadlineExceeded, ModelFailed, Overloaded, ServingError)


@attrs.frozen(slots=True)
class Ended:
    """A routed request that has been answered.

    ``lane`` is the one that was chosen, ``outcome`` what was answered.
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
    lanes
        Who is asked, in order; the first was chosen, the others are fallbacks.
    deadline
        On the monotonic clock.
    """

    __slots__ = (
        "_answer",
        "_asking",
        "_begun",
        "_body",
        "_deadline",
        "_failure",
        "_head",
        "_lanes",
        "_next",
        "_request",
        "_routed",
        "_sender",
        "done",
    )

    def __init__(
        self,
        routed: Routed,
        lanes: Sequence[Lane],
        head: Head,
        body: bytes | memoryview,
        begun: float,
        deadline: float,
        answer: OnAnswer,
        request: str,
        sender: Sender,
    ) -> None:
        self._routed = routed
        self._lanes = lanes
        self._head = head
        self._body = body
        self._begun = begun
        self._deadline = deadline
        self._answer = answer
        self._request = request
        self._sender = sender
        self._next = 0
        self._failure = ""
        self._asking: Pending | None = None
        self.done = False

    def go_on(self) -> None:
        """Ask the next one."""
        lane = self._lanes[self._next]
        self._next += 1
        left_s = max(0.001, self._deadline - time.monotonic())
        asking = lane.ask(self._head, self._body, left_s, self._heard, self._request)
        self._asking = None if self.done or asking is None or asking.done else asking

    def cancel(self) -> None:
        """Nobody waits any more."""
        if not self.done:
            self.done = True
            if self._asking is not None:
                self._asking.cancel()

    def _heard(self, outcome: Prediction | Exception) -> None:
        if self.done:
            return
        self._asking = None
        more = self._next < len(self._lanes) and time.monotonic() < self._deadline
        if more and isinstance(outcome, PASSED_ON):
            self._failure = self._failure or outcome.code
            self.go_on()
        else:
            self._end(outcome)

    def _end(self, outcome: Prediction | Exception) -> None:
        self.done = True
        if self._failure and isinstance(outcome, Prediction):
            outcome.lines += b"x-prism-fallback: %b\r\n" % self._failure.encode()
        self._answer(outcome)
        self._routed.ended(
            Ended(self._head, self._body, self._sender, self._lanes[0], outcome, self._call(outcome))
        )

    def _call(self, outcome: Prediction | Exception) -> RoutedCall:
        routed, chosen = self._routed, self._lanes[0]
        answered, status, code, cache = "", 200, "ok", "bypass"
        if isinstance(outcome, Prediction):
            answered, cache = f"{outcome.model}/{outcome.version}", outcome.cache
        else:
            told = outcome if isinstance(outcome, PrismError) else ServingError("")
            status, code = told.status, told.code
        return RoutedCall(
            time.time(),
            self._request,
            routed.model,
            routed.revision,
            f"{chosen.model}/{chosen.version}",
            answered,
            status,
            code,
            time.monotonic() - self._begun,
            self._failure,
            cache,
        )
