"""One request that the members of an ensemble answer together.

All are asked at once. When all have answered, or at the deadline with those that made it, one runtime
combines what they answered. Written with callbacks, as `Asking` is; it is answered exactly once.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from prism_core import wire
from prism_core.errors import DeadlineExceeded, InternalError, PrismError, ReplicaLost
from prism_core.fitting.tensors import MEDIA_TYPE
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.combining import Combining, OnCombined
from prism_core.gateway.traffic.steps import may_pass

if TYPE_CHECKING:
    from prism_core.gateway.traffic.ensembles import Plan

# What a stack is asked with: see `prism_core.runtime.combining`.
NPY = "application/x-npy"


class Together:
    """A request on its way. Made by `Ensembles`.

    Parameters
    ----------
    plan
        Who is asked, and how the answers become one.
    timeout_s
        How long it may take in all.

    Attributes
    ----------
    done
        Whether it was answered or cancelled.
    """

    __slots__ = (
        "_answer",
        "_answers",
        "_asked",
        "_body",
        "_combining_since",
        "_deadline",
        "_failures",
        "_head",
        "_left",
        "_next",
        "_plan",
        "_request",
        "_timer",
        "done",
    )

    def __init__(
        self,
        plan: Plan,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnAnswer,
        request: str,
    ) -> None:
        self._plan = plan
        self._head = head
        self._body = body
        self._deadline = time.monotonic() + timeout_s
        self._answer = answer
        self._request = request
        self._answers: dict[int, Prediction] = {}
        self._failures: dict[int, Exception] = {}
        self._asked: dict[int, Pending] = {}
        self._left = len(plan.members)
        self._combining_since = 0.0
        self._next: Pending | Combining | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.done = False

    def begin(self, timeout_s: float) -> None:
        """Ask all members, which have ``timeout_s``."""
        head = self._head
        asked = Head(head.media_type, MEDIA_TYPE, head.query, wire.MEMBER, head.cached, head.hold_s)
        self._left += 1  # answers that come at once are not taken for the last ones
        for at, member in enumerate(self._plan.members):
            asking = member.ask(asked, self._body, timeout_s, partial(self._heard, at), self._request)
            if self.done:
                return
            if asking is not None and not asking.done:
                self._asked[at] = asking
        self._left -= 1
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._late)
        self._go_on()

    def cancel(self) -> None:
        """Nobody waits any more, for none of them."""
        if not self.done:
            self._leave()

    def expire(self) -> None:
        """Its time is over, whatever has been answered: it was to be combined before."""
        if not self.done:
            self._end(_late())

    # --- the members -----------------------------------------------------------------

    def _heard(self, at: int, outcome: Prediction | Exception) -> None:
        if self.done or self._combining_since:
            return
        self._asked.pop(at, None)
        self._left -= 1
        if isinstance(outcome, Prediction):
            self._answers[at] = outcome
        else:
            self._failures[at] = outcome
        self._go_on()

    def _go_on(self) -> None:
        """Combine as soon as nobody else answers, give up as soon as too few can."""
        plan = self._plan
        if len(plan.members) - len(self._failures) < plan.needed:
            self._end(self._failure())
        elif not self._left:
            self._combine()

    def _late(self) -> None:
        self._timer = None
        for at in self._asked:
            self._failures[at] = _late()
        if len(self._answers) < self._plan.needed:
            self._end(self._failure())
        else:
            self._drop_members()
            self._combine()

    def _failure(self) -> Exception:
        """Return why there is no answer.

        What is the caller's fault is told as a member tells it. So is the loss of a replica, since whoever
        is asked next asks alone then; and the first failure where nobody answered.
        """
        plan = self._plan
        failures = [self._failures[at] for at in sorted(self._failures)]
        for one in failures:
            if not may_pass(one) or isinstance(one, ReplicaLost):
                return one
        if failures and len(failures) == len(plan.members) and not plan.absent:
            return failures[0]
        return plan.too_few({plan.members[at].reference: _code(one) for at, one in self._failures.items()})

    # --- their answers -----------------------------------------------------------------

    def _combine(self) -> None:
        self._disarm()
        self._combining_since = time.monotonic()
        self._answers = dict(sorted(self._answers.items()))
        bodies = {at: one.body for at, one in self._answers.items()}
        self._combine_with(self._plan.combination, bodies, self._combined)

    def _combine_with(
        self, combination: bytes, bodies: dict[int, bytes | memoryview], answer: OnCombined
    ) -> None:
        lanes = [self._plan.members[at].lane for at in self._answers]
        combining = Combining(
            lanes, self._head, self._body, combination, bodies, self._deadline, answer, self._request
        )
        self._next = combining
        combining.resume()

    def _combined(self, reply: wire.Reply | Exception, body: memoryview) -> None:
        self._next = None
        if isinstance(reply, Exception):
            self._end(reply)
        elif self._plan.stack is None:
            first, *others = self._answers.values()
            self._tell(reply, body, first, [first, *others])
        else:
            self._ask_stack(body)

    def _ask_stack(self, columns: memoryview) -> None:
        stack, head = self._plan.stack, self._head
        assert stack is not None
        asked = Head(NPY, MEDIA_TYPE, "", wire.MEMBER, head.cached, head.hold_s)
        left_s = max(0.001, self._deadline - time.monotonic())
        asking = stack.ask(asked, columns, left_s, self._stacked, self._request)
        if asking is not None and not asking.done:
            self._next = asking

    def _stacked(self, outcome: Prediction | Exception) -> None:
        self._next = None
        if isinstance(outcome, Exception):
            # The columns are ours: that they do not fit is not the caller's fault.
            self._end(outcome if may_pass(outcome) else self._plan.unstackable(outcome))
            return
        answers = [*self._answers.values(), outcome]
        told = partial(self._told, outcome, answers)
        self._combine_with(self._plan.only, {0: outcome.body}, told)

    def _told(
        self, stacked: Prediction, answers: list[Prediction], reply: wire.Reply | Exception, body: memoryview
    ) -> None:
        self._next = None
        if isinstance(reply, Exception):
            self._end(reply)
        else:
            self._tell(reply, body, stacked, answers)

    def _tell(self, reply: wire.Reply, body: memoryview, as_: Prediction, answers: list[Prediction]) -> None:
        """Answer in the name of ``as_``; times are those of the slowest, and of combining."""
        self._plan.cost.hear(time.monotonic() - self._combining_since)
        slowest = max(answers, key=_took_us)
        self._end(
            Prediction(
                body,
                reply.media_type,
                as_.model,
                as_.version,
                reply.rows,
                _cache(answers),
                max(one.batch_rows for one in answers),
                slowest.queue_us,
                slowest.compute_us + reply.compute_us,
                self._plan.line(tuple(self._answers)),
            )
        )

    # --- the end -----------------------------------------------------------------------

    def _end(self, outcome: Prediction | Exception) -> None:
        self._leave()
        self._answer(outcome)

    def _leave(self) -> None:
        self.done = True
        self._plan.open -= 1
        self._disarm()
        self._drop_members()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_members(self) -> None:
        asked, self._asked = self._asked, {}
        for asking in asked.values():
            asking.cancel()


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The members of the ensemble did not answer before its deadline.",
        hint="Allow more time (deadline_ms, timeout_ms), or need fewer members.",
    )


def _code(error: Exception) -> str:
    return error.code if isinstance(error, PrismError) else InternalError.code


def _took_us(answer: Prediction) -> int:
    return answer.queue_us + answer.compute_us


def _cache(answers: list[Prediction]) -> str:
    """Return how an answer was had: a hit where nothing was computed."""
    how = {one.cache for one in answers}
    return how.pop() if len(how) == 1 else "miss" if "miss" in how else "bypass"
