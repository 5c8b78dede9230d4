"""What predictions can be asked of: a lane, or a model with a route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.sender import AskSender, nobody


class Pending(Protocol):
    """A prediction that somebody waits for."""

    done: bool

    def cancel(self) -> None:
        """Nobody waits any more: nothing is answered."""

    def expire(self) -> None:
        """Its time is over: it is answered at once, with what there is or `DeadlineExceeded`."""


class Askable(Protocol):
    """What predictions can be asked of. See `Lane.ask` and `Lane.predict`."""

    def ask(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnAnswer,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Pending | None:
        """Begin a call; ``answer`` is called once with its outcome, perhaps before this returns."""

    async def predict(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float = 0.0,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Prediction:
        """Return the answer to ``body``; as `ask`, for whoever may await."""


async def answered(begin: Callable[[OnAnswer], Pending | None]) -> Prediction:
    """Return the answer to what ``begin`` begins; whoever is cancelled waits for it no more.

    Raises
    ------
    PrismError
        What it was answered with instead.
    """
    future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()

    def answer(outcome: Prediction | Exception) -> None:
        if future.done():
            return  # it was cancelled in this very turn of the loop
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    asking = begin(answer)
    try:
        return await future
    except asyncio.CancelledError:
        if asking is not None:
            asking.cancel()
        raise
