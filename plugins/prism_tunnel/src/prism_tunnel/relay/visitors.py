"""A visitor's connection: HTTP/1.1 in, a channel to whom each request is for, and the answers back.

One request is answered at a time; those that come together wait. Nothing is read from either
side while the other does not take it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import asyncssh
import structlog

from prism_tunnel.relay.channels import Channel, open_channel
from prism_tunnel.relay.exchanges import Exchange
from prism_tunnel.relay.framing import End, Fault, RequestEvent, RequestHead, Requests
from prism_tunnel.relay.hall import UNKNOWN, Found, Hall, Refusal
from prism_tunnel.relay.heads import Visit, address_of
from prism_tunnel.relay.refusals import refusal_bytes
from prism_tunnel.relay.valves import Valve

log = structlog.get_logger("prism.relay")

# A channel that has been idle for longer is not used again: servers close theirs after five seconds, and
# a request that crosses that would be lost.
REUSE_S = 3.0
# What may wait for a visitor who reads slowly.
BUFFER_BYTES = 256 * 1024
# How long a visitor that is refused may go on sending, so that it reads why.
LINGER_S = 2.0
# A body brings so much in the time that a connection may be idle, or it does not come at all.
LEAST_BYTES = 16 * 1024


class Visitor(asyncio.Protocol):
    """One connection of a visitor, from its first byte to its last.

    Parameters
    ----------
    hall
        What it shares with the others.
    scheme
        ``http`` or ``https``.
    redirect
        It is only told where the same is under https.
    """

    def __init__(self, hall: Hall, scheme: str, *, redirect: bool = False) -> None:
        self._hall, self._scheme, self._redirect = hall, scheme, redirect
        self._requests = Requests()
        self._waiting: deque[RequestEvent] = deque()
        self._exchange: Exchange | None = None
        self._channel: Channel | None = None
        self._opening: asyncio.Task[None] | None = None
        self._client = ""
        self._closing = False
        self._full = False
        self._drops = 0
        self.deadline = 0.0

    # What the socket says.

    def connection_made(self, transport: Any) -> None:
        """Begin, or turn away whom there is no room for."""
        self._transport: Any = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._valve = Valve(transport.pause_reading, transport.resume_reading)
        self._peer = address_of(transport.get_extra_info("peername"))
        self._visit = Visit.of(self._peer, self._scheme, self._hall.settings.proxies)
        self._patient(self._hall.settings.head_s)
        if not self._hall.enter(self, self._peer):
            self._refuse(Refusal(503, "overloaded", "This relay has too many visitors.", retry_s=5))

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was going on for this visitor."""
        self._closing = True
        self._hall.leave(self, self._peer)
        self._uncount()
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read requests, or hand on what a websocket carries."""
        if self._closing:
            return  # what follows a refusal is read, so that the refusal is not lost to a reset
        if self._exchange and self._exchange.upgraded:
            self._carry(data)
            return
        self._waiting.extend(self._requests.feed(data))
        self._advance()

    def eof_received(self) -> bool:
        """Let a visitor who has said all hear the answer; one in the middle of a request is gone."""
        exchange = self._exchange
        if exchange is None or not exchange.asked or self._scheme != "http":
            return False  # over TLS a connection cannot be half closed
        exchange.keep = False
        if exchange.upgraded and self._channel:
            self._channel.write_eof()
        return True

    def pause_writing(self) -> None:
        """Read no more of an answer than the visitor takes, who has a while to take it."""
        self._full = True
        self._patient(self._hall.settings.idle_s)
        if self._channel:
            self._channel.valve.hold("visitor")

    def resume_writing(self) -> None:
        """Let the answer go on."""
        self._full = False
        self._patient(self._hall.settings.answer_s)
        if self._channel:
            self._channel.valve.release("visitor")

    # Requests, one after the other.

    def _advance(self) -> None:
        while self._waiting and not self._closing and self._opening is None:
            event = self._waiting[0]
            if isinstance(event, RequestHead | Fault) and self._exchange is not None:
                break
            self._waiting.popleft()
            self._take(event)
        if not self._closing:
            self._valve.set("waiting", bool(self._waiting) or self._opening is not None)

    def _take(self, event: RequestEvent) -> None:
        if isinstance(event, Fault):
            self._refuse(Refusal(event.status, "malformed_request", event.message))
        elif isinstance(event, RequestHead):
            self._begin(event)
        elif self._exchange is not None:
            self._ask(self._exchange.body(event))
            self._moved(event)
            self._settle()

    def _moved(self, event: bytes | End) -> None:
        """Be patient with a body that comes, unless it comes drop by drop."""
        if isinstance(event, End):
            self._drops = 0
            self._patient(self._hall.settings.answer_s)
            return
        self._drops += len(event)
        if self._drops >= LEAST_BYTES:
            self._drops = 0
            self._patient(self._hall.settings.idle_s)

    def _begin(self, head: RequestHead) -> None:
        found = self._whom(head)
        if isinstance(found, Refusal):
            self._refuse(found, head)
            return
        self._exchange = Exchange(head, found, self._write)
        # What follows the head of a websocket is nobody's until it is agreed on, and must not pile up here.
        self._valve.set("websocket", head.websocket)
        self._patient(self._hall.settings.idle_s)
        if self._channel and not self._may_reuse(self._channel, found):
            self._leave()
        if self._channel:
            self._ask(self._exchange.opening(self._visit))
        else:
            self._patient(self._hall.settings.reach_s)
            self._opening = asyncio.get_running_loop().create_task(self._open(self._exchange))

    def _whom(self, head: RequestHead) -> Found | Refusal:
        host = head.all(b"host")[0]
        found = self._hall.find(host, head.target)
        if self._redirect:
            return self._elsewhere(host, head)
        if self._hall.draining:
            return Refusal(503, "overloaded", "This relay is about to stop.", retry_s=5)
        if isinstance(found, Refusal):
            return found
        client = found.publication.publisher.client
        if client != self._client and self._too_many(client):
            return Refusal(503, "overloaded", "This link has too many visitors now.", retry_s=5)
        return self._hall.admit(client) or found

    def _elsewhere(self, host: bytes, head: RequestHead) -> Refusal:
        location = self._hall.secure_url(host, head.target)
        return Refusal(308, "moved", "This is under https.", location=location) if location else UNKNOWN

    def _too_many(self, client: str) -> bool:
        """Count this connection as one of the client's, where there is room for it."""
        record = self._hall.clients.find(client)
        most = record.max_connections if record else 0
        if most and self._hall.traffic(client).connections >= most:
            self._hall.traffic(client).refused += 1
            return True
        self._uncount()
        self._client = client
        self._hall.traffic(client).connections += 1
        return False

    def _uncount(self) -> None:
        if self._client:
            self._hall.traffic(self._client).connections -= 1
            self._client = ""

    # The channel.

    def _may_reuse(self, channel: Channel, found: Found) -> bool:
        fresh = self._hall.clock() - channel.used_at < REUSE_S
        return channel.open and channel.publication is found.publication and fresh

    async def _open(self, exchange: Exchange) -> None:
        """Open a channel for a request; what comes of it meanwhile waits.

        Never cancelled: a channel that is being opened cannot be taken back.
        """
        try:
            channel = await open_channel(exchange.found.publication, self, self._visit.address)
        except (asyncssh.Error, OSError) as error:
            self._opening = None
            self._unreachable(exchange, str(error))
            return
        self._opening, self._channel = None, channel
        if self._closing:
            self._leave()
            return
        channel.valve.set("visitor", self._full)
        self._patient(self._hall.settings.answer_s if exchange.asked else self._hall.settings.idle_s)
        self._ask(exchange.opening(self._visit))
        self._advance()

    def _unreachable(self, exchange: Exchange, reason: str) -> None:
        if not self._closing:
            log.info("relay.unreachable", name=exchange.found.wanted.name, reason=reason)
            self._refuse(
                Refusal(503, "tunnel_failed", "The server behind this link does not answer.", retry_s=5),
                exchange.head,
            )

    def _leave(self) -> None:
        """Have no channel any more; an answer that may still come over it is nobody's."""
        channel, self._channel = self._channel, None
        if channel:
            channel.leave()

    def _ask(self, data: bytes) -> None:
        if self._channel and data:
            self._channel.write(data)
            self._throttle(received=len(data))

    def _carry(self, data: bytes) -> None:
        self._patient(self._hall.settings.answer_s)
        self._ask(data)

    # What the channel says.

    def answered(self, data: bytes) -> None:
        """Send on what the laptop's server says."""
        exchange = self._exchange
        if exchange is None or exchange.answered:
            self._leave()  # it speaks unasked: nothing that it says can be told from an answer
            return
        was_upgraded = exchange.upgraded
        fault = exchange.take(data)
        if fault:
            self._broken(exchange, fault.message)
            return
        self._patient(self._hall.settings.idle_s if self._full else self._hall.settings.answer_s)
        self._throttle(sent=len(data))
        if exchange.upgraded and not was_upgraded:
            self._carry(self._requests.rest)
            self._valve.release("websocket")
        self._settle()

    def answer_ended(self) -> None:
        """Learn that the laptop's server, or the laptop, says no more."""
        exchange, self._channel = self._exchange, None
        if exchange is None or exchange.answered:
            return
        fault = exchange.end()
        if fault:
            self._broken(exchange, fault.message)
            return
        if exchange.upgraded:
            self._close()
            return
        self._settle()

    def channel_full(self, full: bool) -> None:
        """Read no more of a request than the laptop takes."""
        if not self._closing:
            self._valve.set("channel", full)

    def _broken(self, exchange: Exchange, reason: str) -> None:
        """End an exchange whose answer is not whole: an error where nothing was said yet, else a cut."""
        log.info("relay.broken", name=exchange.found.wanted.name, reason=reason)
        self._hall.counts["broken"] += 1
        self._leave()
        if exchange.begun:
            self._closing = True
            self._transport.abort()
            return
        self._refuse(
            Refusal(502, "tunnel_failed", "The server behind this link went away while it answered."),
            exchange.head,
        )

    # Ends.

    def _settle(self) -> None:
        """Go on to the next request where this one is over; an answer that came early ends the connection."""
        exchange = self._exchange
        if exchange is None or not exchange.answered:
            return
        if not exchange.keep:
            self._close(linger=not exchange.over)
            return
        if not exchange.over:
            self._patient(self._hall.settings.idle_s)  # the rest of a short body
            return
        self._exchange = None
        self._valve.release("websocket")
        if not exchange.reusable:
            self._leave()
        if self._channel:
            self._channel.used_at = self._hall.clock()
        self._patient(self._hall.settings.idle_s)
        if self._hall.draining:
            self._close()
        elif self._waiting:
            self._advance()

    def _refuse(self, refusal: Refusal, head: RequestHead | None = None) -> None:
        """Answer by itself, and end the connection: what may follow of the request is not read."""
        self._hall.counts[f"refused_{refusal.status}"] += 1
        self._write(refusal_bytes(refusal, body=head is None or head.method != b"HEAD"))
        self._close(linger=True)

    def _write(self, data: bytes) -> None:
        if data and not self._closing:
            self._transport.write(data)

    def _close(self, *, linger: bool = False) -> None:
        """End the connection after what was written; ``linger``: the visitor may still be sending."""
        self._closing = True
        self._exchange = None
        self._waiting.clear()
        self._leave()
        self._patient(LINGER_S if linger else self._hall.settings.head_s)
        if not linger:
            self._transport.close()
            return
        self._valve.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # Patience and limits.

    def _patient(self, seconds: float) -> None:
        self.deadline = self._hall.clock() + seconds

    def expire(self) -> None:
        """End a connection on which nothing has moved for too long."""
        if self._closing:
            self._transport.abort()
        elif self._exchange is not None:
            self._give_up(self._exchange)
        elif self._requests.begun:
            self._refuse(Refusal(408, "request_too_slow", "The head of the request did not come in time."))
        else:
            self._close()

    def _give_up(self, exchange: Exchange) -> None:
        if self._opening is not None:
            self._unreachable(exchange, "it did not take the connection in time")
        elif exchange.asked or exchange.begun:
            self._broken(exchange, "nothing moved for too long")
        else:
            self._refuse(Refusal(408, "request_too_slow", "The body of the request did not come in time."))

    def hang_up(self) -> None:
        """Close it now where it carries nothing, else after its answer."""
        if self._exchange is None and not self._closing:
            self._close()

    def cut(self) -> None:
        """End it at once."""
        self._closing = True
        self._transport.abort()

    def _throttle(self, *, received: int = 0, sent: int = 0) -> None:
        wait = self._hall.move(self._client, received=received, sent=sent)
        if wait and not self._closing:
            for valve in (self._valve, self._channel.valve if self._channel else None):
                if valve:
                    valve.hold("rate")
                    asyncio.get_running_loop().call_later(wait, self._release, valve)

    def _release(self, valve: Valve) -> None:
        with suppress(RuntimeError):  # a transport that is closed by now
            valve.release("rate")
