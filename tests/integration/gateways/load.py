"""Requests without pause through every gateway, and what came of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import attrs
import httpx

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import predict, to_each

# No value is asked for twice: no answer comes from a cache.
FRESH = itertools.count()


@attrs.frozen
class Answer:
    """One answer: when it was asked for, by which gateway, and what it said."""

    asked: float
    gateway: int
    status: int
    factor: int


@attrs.define
class Load:
    """Answers so far, and exceptions of clients."""

    answers: list[Answer] = attrs.field(factory=list)
    broken: list[Exception] = attrs.field(factory=list)
    stopping: threading.Event = attrs.field(factory=threading.Event)

    def run(self, gateway: int, client: httpx.Client, reference: str) -> None:
        """Ask until `stopping`."""
        while not self.stopping.is_set():
            asked = time.monotonic()
            try:
                value = next(FRESH) / 1024 + 1
                response = predict(client, value, reference)
                factor = round(response.json()["predictions"][0] / value) if response.is_success else 0
                self.answers.append(Answer(asked, gateway, response.status_code, factor))
            except Exception as error:
                self.broken.append(error)
                return

    def since(self, moment: float) -> set[int]:
        """Return the factors of answers that were asked for after ``moment``."""
        return {answer.factor for answer in self.answers if answer.asked > moment}

    def settle(self, count: int = 30) -> None:
        """Return when every gateway has answered ``count`` more requests."""
        seen = len(self.answers)
        ends = time.monotonic() + 30
        gateways = {answer.gateway for answer in self.answers}
        while any(self._answered(gateway, seen) < count for gateway in gateways):
            assert time.monotonic() < ends, f"a gateway is stuck: {self.broken}"
            time.sleep(0.01)

    def _answered(self, gateway: int, seen: int) -> int:
        return sum(answer.gateway == gateway for answer in self.answers[seen:])

    @property
    def failed(self) -> list[Answer]:
        """The answers that are no predictions."""
        return [answer for answer in self.answers if answer.status != 200]


@contextmanager
def load(server: ServerProcess, reference: str = "m", threads: int = 2) -> Iterator[Load]:
    """Ask ``reference`` through each gateway, by some threads each, until left."""
    made = Load()
    with ExitStack() as stack:
        groups = [stack.enter_context(to_each(server)) for _ in range(threads)]
        workers = [
            threading.Thread(target=made.run, args=(*pair, reference))
            for group in groups
            for pair in group.items()
        ]
        for worker in workers:
            worker.start()
        try:
            yield made
        finally:
            made.stopping.set()
            for worker in workers:
                worker.join(30)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what has no event here."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to pass in time"
        time.sleep(0.01)
