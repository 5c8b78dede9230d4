"""One request and its answer, between a visitor's connection and a channel. No sockets of its own."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from prism_tunnel.relay.framing import (
    END,
    LAST_CHUNK,
    End,
    Fault,
    Framing,
    RequestHead,
    ResponseHead,
    Responses,
    framed,
)
from prism_tunnel.relay.hall import Found
from prism_tunnel.relay.heads import Visit, request_bytes, response_bytes

# Clients that send head and body apart have refusals before the body. So much of it is still read, as it
# would be without a relay; a connection with more of it ends.
SHORT_BYTES = 64 * 1024


@attrs.define(eq=False)
class Exchange:
    """Turns a request's events into bytes for the laptop, and bytes of its answer into those for the visitor.

    Parameters
    ----------
    head
        The request.
    found
        Who answers it.
    write
        Sends bytes to the visitor.
    """

    head: RequestHead
    found: Found
    write: Callable[[bytes], object]
    asked: bool = False
    begun: bool = False
    answered: bool = False
    keep: bool = True
    reusable: bool = True
    upgraded: bool = False
    _framing: Framing = Framing.NONE
    _answer: Responses = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._answer = Responses(self.head.method)
        self.keep = self.head.keep_alive and not self.head.http10 and not self.head.websocket

    @property
    def over(self) -> bool:
        """Whether there is nothing to come, in either direction."""
        return self.asked and self.answered

    def opening(self, visit: Visit) -> bytes:
        """Return the request's head for the laptop."""
        wanted = self.found.wanted
        return request_bytes(self.head, visit, wanted.target, wanted.prefix)

    def body(self, piece: bytes | End) -> bytes:
        """Return a piece of the request's body as it is sent, or its end."""
        if isinstance(piece, End):
            self.asked = True
            return LAST_CHUNK if self.head.framing is Framing.CHUNKED else b""
        return framed((piece,), self.head.framing)

    def take(self, data: bytes) -> Fault | None:
        """Send on what the laptop's server says; return why not where it is not an answer to this request."""
        if self.upgraded:
            self.write(data)
            return None
        return self._send(self._answer.feed(data))

    def end(self) -> Fault | None:
        """Take the end of the laptop's connection; return why it is not the end of this answer."""
        if self.upgraded:
            self.answered = True
            return None
        return self._send([self._answer.close()])

    def _send(self, events: list[ResponseHead | bytes | End | Fault]) -> Fault | None:
        out: list[bytes] = []
        fault = None
        for event in events:
            if isinstance(event, Fault):
                fault = event
                break
            out.append(self._bytes_of(event))
        self.write(b"".join(out))
        return fault

    def _bytes_of(self, event: ResponseHead | bytes | End) -> bytes:
        if isinstance(event, ResponseHead):
            return self._begin(event)
        if event is END:
            self.answered = not self.upgraded  # then it has only begun
            return LAST_CHUNK if self._framing is Framing.CHUNKED else b""
        assert isinstance(event, bytes)
        return framed((event,), self._framing)

    def _begin(self, head: ResponseHead) -> bytes:
        prefix = self.found.wanted.prefix
        if head.interim:
            return b"" if self.head.http10 else response_bytes(head, Framing.NONE, close=False, prefix=prefix)
        self.begun = True
        self._framing = self._frame(head)
        if head.status == 101 and self.head.websocket:
            self.upgraded = True
            return response_bytes(head, Framing.NONE, close=False, prefix=prefix) + self._answer.rest
        self.keep = self.keep and self._framing is not Framing.CLOSE and (self.asked or self._is_short)
        self.reusable = head.keep_alive and head.framing is not Framing.CLOSE
        return response_bytes(head, self._framing, close=not self.keep, prefix=prefix)

    @property
    def _is_short(self) -> bool:
        """Whether the rest of the request is soon read, if it was answered before it was all here."""
        return self.head.framing is Framing.NONE or 0 < self.head.length <= SHORT_BYTES

    def _frame(self, head: ResponseHead) -> Framing:
        """Return how the body goes to the visitor: one of unknown length in chunks, where it knows chunks."""
        if head.framing in (Framing.CHUNKED, Framing.CLOSE):
            return Framing.CLOSE if self.head.http10 else Framing.CHUNKED
        return head.framing
