"""What was sent and what came, as values: nothing here has a socket."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs

Result = TypeVar("Result")


@attrs.frozen
class Request:
    """A request of HTTP; ``path`` is relative to the server's URL, without a leading slash.

    ``managing`` is one of the repository, which a server may have at another URL.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    managing: bool = False


@attrs.frozen
class Answer:
    """What came back: a response, header names in lower case; or ``fault``, why there is none."""

    status: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    fault: str = ""


@attrs.frozen
class Call:
    """A call of gRPC.

    Parameters
    ----------
    method
        A method of ``inference.GRPCInferenceService``, or of another service with its name before it.
    messages
        What is sent, several where the method takes a stream: fields by their names, or a message's bytes.
    """

    method: str
    messages: tuple[Mapping[str, Any] | bytes, ...] = ({},)


@attrs.frozen
class Reply:
    """What came back of a call: messages and a status code's name; or ``fault``, why there is nothing.

    Messages are protobuf's; nothing but their fields is asked for here.
    """

    code: str = ""
    details: str = ""
    messages: tuple[Any, ...] = ()
    fault: str = ""


@attrs.frozen
class Exchange:
    """One request and what it was answered."""

    sent: Request | Call
    came: Answer | Reply


# A check, as the one who asks sees it: it yields requests, is sent their answers, and raises `Unmet`.
RestSteps: TypeAlias = Generator[Request, Answer, Result]
RpcSteps: TypeAlias = Generator[Call, Reply, Result]


class Unmet(Exception):
    """An answer is not what the protocol promises."""

    def __init__(self, expected: str, found: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found


class Untried(Exception):
    """A check has nothing to ask here; its text says why."""


class Blocked(Untried):
    """A check could be tried, if only a request were known that the model takes, or any model."""


class NotOffered(Exception):
    """The server does not offer what the check is about; its text says how that is known."""
