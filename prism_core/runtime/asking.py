"""One prediction, from the bytes of a body to the bytes of its answer, for a client that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from prism_core import wire
from prism_core.errors import DeadlineExceeded, PrismError
from prism_core.runtime.batching import Waiting
from prism_core.runtime.engine import Answered, Engine
from prism_core.runtime.large import LargeCall, LargeRequests, Written
from prism_core.runtime.turns import Job

if TYPE_CHECKING:  # it imports what imports this module
    from prism_core.runtime.server import Service


@attrs.frozen
class Told:
    """An answer: media type, body, and how it came about."""

    media_type: str
    body: bytes | bytearray
    answered: Answered


class Asking:
    """A call under way.

    Parameters
    ----------
    service
        Whose model is asked; it has one.
    call
        What is asked; its ``timeout_ms`` is kept to from here on.
    done
        Called once with the answer or an error, also within `begin`, unless it is cancelled.
    """

    def __init__(self, service: Service, call: wire.Call, done: Callable[[Told | PrismError], None]) -> None:
        assert service.engine
        assert service.large
        self._service = service
        self._engine: Engine = service.engine
        self._large: LargeRequests = service.large
        self._call = call
        self._done = done
        self._request: Waiting | LargeCall | Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def begin(self, body: memoryview) -> None:
        """Read the body and have it computed."""
        call, session = self._call, self._engine.session
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(call.timeout_ms / 1000, self._too_late)
        try:
            session.check_accept(call.accept)
            batch = self._large.read_small(call, body)
            if batch is None:
                self._request = self._large.submit(call, body, self._answered)
                return
            self._request = self._engine.submit(batch, call.timeout_ms / 1000, self._answered)
            self._engine.begin_soon()
        except PrismError as error:
            self._end(error)
        except Exception:
            self._end(session.internal("A normalizer"))

    def cancel(self) -> None:
        """Forget it: nobody waits for the answer any more."""
        self._over = True
        if self._timer:
            self._timer.cancel()
        if self._request:
            request, self._request = self._request, None
            self._service.cancel(request)

    def _answered(self, answered: Answered) -> None:
        self._request = None
        call = self._call
        if self._over:
            return
        if isinstance(answered.outputs, PrismError):
            self._end(answered.outputs)
            return
        found = self._large.write_small(answered, call)
        if found is None:
            self._request = self._large.write(answered, call, lambda found: self._written(answered, found))
        else:
            self._written(answered, found)

    def _written(self, answered: Answered, found: Written | Exception) -> None:
        self._request = None
        if isinstance(found, PrismError):
            self._end(found)
        elif isinstance(found, Exception):
            self._end(self._engine.session.internal("An encoder", found))
        else:
            self._end(Told(*found, answered))

    def _too_late(self) -> None:
        call = self._call
        self.cancel()
        self._done(
            DeadlineExceeded(
                f"The answer was not there within {call.timeout_ms / 1000:g} s.",
                hint="Allow more time (X-Prism-Timeout), send fewer rows, or add replicas.",
            )
        )

    def _end(self, outcome: Told | PrismError) -> None:
        if not self._over:
            self._over = True
            if self._timer:
                self._timer.cancel()
            self._done(outcome)
