"""Drive checks, one after the other, and note what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from prism_oip.conformance.check import EXTENSION, REQUIRED, Check
from prism_oip.conformance.exchange import (
    Answer,
    Blocked,
    Call,
    Exchange,
    NotOffered,
    Reply,
    Request,
    Unmet,
    Untried,
)
from prism_oip.conformance.subject import Subject, get

HOLDS, FAILS, NOT_OFFERED, UNTRIED = "holds", "fails", "not offered", "untried"

# After so many requests without any answer, and one more, nothing is asked any more.
PATIENCE = 3
ALIVE = get("v2/health/live")

Ask = Callable[[Any], Awaitable[Any]]


@attrs.frozen
class Outcome:
    """What became of a check: ``expected`` and ``found`` where it fails, ``reason`` where it is not tried.

    ``blocked`` is what should have been tried, and could not be for want of a model or a request.
    """

    check: Check
    model: str
    state: str
    reason: str = ""
    expected: str = ""
    found: str = ""
    exchange: Exchange | None = None
    blocked: bool = False

    @property
    def counts(self) -> bool:
        """Whether the server is not conformant by it."""
        return self.state == FAILS and self.check.level in (REQUIRED, EXTENSION)


class Patience:
    """Asks a server, and gives it up when it does not answer to anything any more.

    ``alive`` is what any server that lives answers.
    """

    def __init__(self, ask: Ask, alive: Request | Call = ALIVE) -> None:
        self._ask = ask
        self._alive = alive
        self._silent = 0
        self.lost = ""

    async def ask(self, request: Request | Call) -> Answer | Reply:
        """Send a request; return what came."""
        answer: Answer | Reply = await self._ask(request)
        self._silent = self._silent + 1 if answer.fault else 0
        if self._silent >= PATIENCE:
            alive: Answer | Reply = await self._ask(self._alive)
            self._silent = 0
            if alive.fault:
                self.lost = f"the server answers no more: {alive.fault}"
        return answer


async def drive(steps: Any, ask: Ask, seen: list[Exchange]) -> Any:
    """Ask what steps yield until they end; return their result. ``seen`` gets each exchange."""
    try:
        request = next(steps)
        while True:
            answer = await ask(request)
            seen.append(Exchange(request, answer))
            request = steps.send(answer)
    except StopIteration as end:
        return end.value


async def judged(check: Check, subject: Subject, patience: Patience | None) -> Outcome:
    """Try one check."""
    model = subject.model.name if check.of_model else ""
    if patience is None:
        return Outcome(check, model, UNTRIED, "it asks by gRPC: --grpc HOST:PORT says where")
    if check.extension and check.extension not in subject.extensions:
        return Outcome(check, model, NOT_OFFERED, f"{check.extension} is not advertised")
    if check.writes and not subject.write:
        return Outcome(check, model, UNTRIED, "it changes the server: --write allows it")
    if check.of_model and not model:
        return Outcome(check, model, UNTRIED, subject.reason, blocked=True)
    if patience.lost:
        return Outcome(check, model, UNTRIED, patience.lost, blocked=True)
    seen: list[Exchange] = []
    try:
        await drive(check.steps(subject), patience.ask, seen)
    except Untried as nothing:
        return Outcome(check, model, UNTRIED, str(nothing), blocked=isinstance(nothing, Blocked))
    except NotOffered as nothing:
        return Outcome(check, model, NOT_OFFERED, str(nothing))
    except Unmet as unmet:
        return Outcome(check, model, FAILS, "", unmet.expected, unmet.found, seen[-1] if seen else None)
    return Outcome(check, model, HOLDS)


async def run(
    checks: Iterable[Check],
    subjects: Sequence[Subject],
    ask: Ask,
    call: Ask | None,
    tell: Callable[[str], None],
) -> list[Outcome]:
    """Try checks in their order: those of the server once, those of a model with each model.

    ``ask`` is asked by REST, ``call`` by gRPC, where that is wanted.
    """
    rest = Patience(ask)
    rpc = Patience(call, Call("ServerLive")) if call else None
    outcomes: list[Outcome] = []
    for check in checks:
        for subject in subjects if check.of_model else subjects[:1]:
            tell(f"{check.name} {subject.model.name if check.of_model else ''}".rstrip())
            outcomes.append(await judged(check, subject, rpc if check.rpc else rest))
    return outcomes


def counted(outcomes: Iterable[Outcome]) -> Mapping[str, int]:
    """Return how many outcomes there are of each state."""
    counts = dict.fromkeys((HOLDS, FAILS, NOT_OFFERED, UNTRIED), 0)
    for one in outcomes:
        counts[one.state] += 1
    return counts
