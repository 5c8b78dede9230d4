"""The door of the public listener: one quick question for each request's head.

Where nothing is configured there is no door at all, so an open server pays one truth test a
request. Everything in here is plain and synchronous: it stands in the way of every
prediction, before the body is read and before a cached answer is looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from prism_core.errors import (
    Forbidden,
    InsufficientMemory,
    ModelNotFound,
    Overloaded,
    PrismError,
    StillLoading,
)
from prism_core.specs import NOBODY, Call, Caller

# Where an ASGI scope holds the `Entry` of a request that the door has let in.
ENTRY = "prism.entry"
_NOT_COMPUTED = (Overloaded, StillLoading, InsufficientMemory)


class Addresses(Protocol):
    """Knows which proxies may say for whom they ask."""

    def of(self, client: str, headers: Mapping[str, str]) -> str:
        """Return the address of whoever asks; ``client`` is who is connected."""


class Identity(Protocol):
    """Knows the callers by what they present."""

    def of(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller, or raise `Unauthorized`."""


class Limiter(Protocol):
    """Counts what a caller, an address or a model has had."""

    def knock(self, client: str) -> bytes:
        """Count a request of an address and return header lines; raise `RateLimited` and count nothing."""

    def admit(self, call: Call) -> bytes:
        """Count a call and return header lines for its answer; raise `RateLimited` and count nothing."""

    def give_back(self, call: Call) -> None:
        """Take back from a quota what could not be answered."""


class Entry(msgspec.Struct, frozen=True):
    """A call that was let in, as the guards saw it.

    ``lines`` are header lines for its answer, each with its line end; b"" mostly.
    """

    call: Call
    lines: bytes = b""

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.call.caller


class Door:
    """Asks, in this order: from where, who, how often, and then the guards of plugins.

    Parameters
    ----------
    addresses
        None: whoever is connected is who asks.
    identity
        None: everybody is nobody, and may do everything.
    limiter
        None: as often as they like.
    guards
        Open guards; one that raises refuses.
    refused
        Counts refusals by the limit that was reached, or the error's code.
    """

    def __init__(
        self,
        *,
        addresses: Addresses | None = None,
        identity: Identity | None = None,
        limiter: Limiter | None = None,
        guards: Iterable[Any] = (),
        refused: Counter[str] | None = None,
    ) -> None:
        self.addresses = addresses
        self.identity = identity
        self.limiter = limiter
        self.guards = tuple(guards)
        self.refused = Counter() if refused is None else refused

    def __bool__(self) -> bool:
        """Return whether anybody is asked anything."""
        return any(part is not None for part in (self.addresses, self.identity, self.limiter)) or bool(
            self.guards
        )

    def enter(
        self, model: str, verb: str, headers: Mapping[str, str], client: str, body_bytes: int = 0
    ) -> Entry:
        """Let a request in, or raise why not.

        Parameters
        ----------
        model
            The reference that is asked for (``churn``, ``churn@champion``, ``churn/3``); "" for
            a list that shows only what the caller may see, "*" for what concerns all models.
        verb
            "predict", "read" or "judge".
        headers
            By their lower-case names; those that came several times joined with ", ".
        client
            The address at the other end of the connection.

        Raises
        ------
        Unauthorized, Forbidden, RateLimited
            Or whatever a guard raises.
        """
        try:
            return self._enter(model, verb, headers, client, body_bytes)
        except PrismError as error:
            self.count(error)
            raise

    def count(self, refusal: PrismError) -> None:
        """Count a refusal."""
        self.refused[str(refusal.details.get("limit", refusal.code))] += 1

    def _enter(
        self, model: str, verb: str, headers: Mapping[str, str], client: str, body_bytes: int
    ) -> Entry:
        if self.addresses is not None:
            client = self.addresses.of(client, headers)
        # Before anybody is asked who they are: who guesses keys has a limit too.
        lines = self.limiter.knock(client) if self.limiter is not None else b""
        caller = NOBODY
        if self.identity is not None:
            caller = self.identity.of(headers)
            if not caller.may(verb, model):
                raise forbidden(verb, model)
        call = Call(model, verb, headers, client, body_bytes, caller)
        if self.limiter is not None:
            lines += self.limiter.admit(call)
        for guard in self.guards:
            guard.check(call)
        return Entry(call, lines)

    def failed(self, entry: Entry, error: Exception) -> None:
        """Hear that a call that was let in has no answer.

        No quota pays for what was turned away without computing anything. Other failures count:
        a caller can bring about a short deadline, or a row on which the model fails.
        """
        if self.limiter is not None and isinstance(error, _NOT_COMPUTED):
            self.limiter.give_back(entry.call)


def forbidden(verb: str, model: str) -> Forbidden:
    """Return the refusal of a caller without the scope; the same whether there is such a model or not."""
    what = f"{verb} {model!r}" if model.strip("*") else f"{verb} here"
    return Forbidden(f"These credentials may not {what}.", hint="Ask the owner for a key with this scope.")


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who sent a request to an ASGI application."""
    entry: Entry | None = scope.get(ENTRY)
    return entry.caller if entry else NOBODY


def told_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as `Door.enter` takes them; their names are in lower case already."""
    told: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        told[key] = f"{told[key]}, {text}" if key in told else text
    return told


def pairs_of(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Return header lines as ASGI has headers."""
    pairs = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return [(name, value) for name, _, value in pairs]


def discreet(error: Exception, caller: Caller) -> Exception:
    """Return ``error`` without names of models that the caller may not see: hints suggest others."""
    if isinstance(error, ModelNotFound) and caller.models is not None:
        return ModelNotFound(error.message, details=error.details)
    return error
