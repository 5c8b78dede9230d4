"""One call from its head to its line in the access log: who asks, whether they may, how it ended."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc

from prism_core.plugin import Admitted, DeadlineExceeded, Host, Predicted, PrismError
from prism_oip.problems import code_of, told
from prism_oip.rpc.flight import Flight
from prism_oip.rpc.peers import address_of

SERVICE = "inference.GRPCInferenceService"
OK, LEFT = 200, 499
# A client takes 8 KB of metadata, and what the door says has to fit in as well.
MAX_MESSAGE_BYTES = 6000
# The longest that a deadline is taken for; over HTTP it may not be longer either.
MAX_TIMEOUT_S = 86_400.0

CODES = {code.value[0]: code for code in grpc.StatusCode}

_REQUEST = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PREFIX = f"{secrets.token_hex(6)}-"
_numbers = itertools.count(1)


class Call:
    """A request that is being answered.

    Parameters
    ----------
    path
        As a request of HTTP/2 has it, ``/inference.GRPCInferenceService/ModelInfer``.

    Attributes
    ----------
    headers
        The metadata, as the door takes headers.
    request
        The x-request-id that came, or a new one.
    """

    __slots__ = ("_admitted", "_begun", "_context", "client", "headers", "host", "path", "request")

    def __init__(self, host: Host, context: Any, path: str) -> None:
        self._begun = time.monotonic()
        self._context = context
        self._admitted: Admitted | None = None
        self.host = host
        self.path = path
        self.client = address_of(context.peer())
        self.headers = headers_of(context.invocation_metadata())
        given = self.headers.get("x-request-id", "")
        self.request = given if _REQUEST.fullmatch(given) else _PREFIX + str(next(_numbers))

    def enter(self, model: str, verb: str, body_bytes: int = 0) -> Admitted:
        """Ask the door to let it in; it raises to refuse."""
        self._admitted = admitted = self.host.enter(model, verb, self.headers, self.client, body_bytes)
        return admitted

    def timeout_s(self) -> float:
        """Return the time that is left for it, 0.0 where its client sets no limit.

        Raises
        ------
        DeadlineExceeded
            If none is left.
        """
        remaining: float | None = self._context.time_remaining()
        if remaining is None:
            return 0.0
        if remaining <= 0.0:
            raise DeadlineExceeded("The deadline had passed before the request was read.")
        return min(remaining, MAX_TIMEOUT_S)

    def no_store(self) -> bool:
        """Return whether it wants no answer that was given before, as over HTTP."""
        wish = self.headers.get("cache-control", "")
        return "no-store" in wish or "no-cache" in wish

    def told(self, error: Exception) -> PrismError:
        """Return what the sender is told of ``error``, and take note of it."""
        problem = self.host.failed(self._admitted, error)
        self.note(problem.status)
        return problem

    def answered(self, size: int, predicted: Predicted | None = None) -> None:
        """Take note of an answer; what the door and a route say of it comes behind it."""
        lines = self._admitted.lines if self._admitted is not None else b""
        if predicted is not None and predicted.lines:
            lines += predicted.lines
        if lines:
            self._context.set_trailing_metadata(pairs_of(lines))
        self.note(OK, size, predicted)

    async def refuse(self, error: Exception) -> NoReturn:
        """End it with the status of ``error``."""
        problem = self.told(error)
        lines = self._admitted.lines if self._admitted is not None else b""
        trailing = (*pairs_of(lines), *after(problem), ("x-request-id", self.request))
        await self._context.abort(CODES[code_of(problem.status)], message_of(problem), trailing)
        raise AssertionError("abort raises")

    def note(self, status: int, size: int = 0, predicted: Predicted | None = None) -> None:
        """Write its line of the access log."""
        self.host.note(
            "POST",
            self.path,
            self.client,
            status,
            size,
            time.monotonic() - self._begun,
            request=self.request,
            admitted=self._admitted,
            predicted=predicted,
        )


# What answers one: the message, and the prediction that it is of.
Work = Callable[[Call, bytes], Awaitable[tuple[bytes, Predicted | None]]]


def unary(host: Host, flight: Flight, path: str, work: Work) -> grpc.RpcMethodHandler[Any, Any]:
    """Return the handler of a method with one request and one answer."""

    async def handle(body: bytes, context: Any) -> bytes:
        flight.begin(context)
        call = Call(host, context, path)
        try:
            answer, predicted = await work(call, body)
        except asyncio.CancelledError:
            call.note(LEFT)
            raise
        except Exception as error:
            await call.refuse(error)
        call.answered(len(answer), predicted)
        return answer

    return grpc.unary_unary_rpc_method_handler(handle)


async def send(context: Any, message: bytes) -> None:
    """Send one of several answers.

    A client that has gone is told as a cancellation, mostly; where the library noticed first it is an
    error, which would be in the log as one of ours.
    """
    try:
        await context.write(message)
    except Exception:
        raise asyncio.CancelledError from None


def headers_of(metadata: Any) -> Mapping[str, str]:
    """Return metadata as headers; binary values are nobody's here."""
    found: dict[str, str] = {}
    for name, value in metadata or ():
        if isinstance(value, str):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def pairs_of(lines: bytes) -> list[tuple[str, str]]:
    """Return header lines as metadata."""
    pairs = (line.partition(": ") for line in lines.decode("latin-1").split("\r\n") if line)
    return [(name.lower(), value) for name, _, value in pairs]


def after(error: PrismError) -> list[tuple[str, str]]:
    """Return when to try again, where that is known."""
    seconds = error.details.get("retry_after_s")
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        return []
    return [("retry-after", str(max(1, -int(-seconds // 1))))]


def message_of(error: PrismError) -> str:
    """Return the status message of an error; half characters, which it may quote, have no form there."""
    text = told(error).encode("utf-8", "replace").decode()
    room = MAX_MESSAGE_BYTES
    for at, character in enumerate(text):
        # On the wire each byte of what is not plain is three: %C3.
        room -= 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if room < 0:
            return text[:at]
    return text
