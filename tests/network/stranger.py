"""Somebody who was sent a link: asks from a place of their own, and knows which answers are right."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs

from tests.network.internet import address_of
from tests.network.places import Place

# No value is asked for twice, by nobody: no answer comes from a cache, and none can be another's.
VALUES = itertools.count(1)
PATIENCE_S = 30.0


@attrs.frozen
class Shared:
    """A link as its owner was told of it; ``factor`` is what its model multiplies by."""

    url: str
    predict_url: str
    token: str
    slug: str
    factor: float

    @property
    def base(self) -> str:
        """What the link begins with: where its tunnel leads."""
        return self.predict_url.removesuffix(f"/s/{self.slug}/predict")

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends with a prediction."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}


@attrs.frozen
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)

    def is_right(self, asked: float, factor: float) -> bool:
        """Return whether it is the prediction for one value."""
        return self.status == 200 and math.isclose(self.json()["predictions"][0], asked * factor)


class Visit(http.client.HTTPConnection):
    """A connection from a place to where a URL leads, found as the place's resolver would find it.

    Parameters
    ----------
    source
        Which of the place's addresses to ask from; "" for its first.
    trust
        The authority's certificate that vouches for it, where the URL says https.
    """

    def __init__(
        self, place: Place, url: str, *, source: str = "", trust: str = "", timeout: float = PATIENCE_S
    ):
        self.place, self.parts = place, urlsplit(url)
        self.source, self.trust = source, trust
        port = self.parts.port or (443 if self.parts.scheme == "https" else 80)
        super().__init__(self.parts.hostname or "", port, timeout=timeout)
        if self.parts.scheme == "https":
            self.default_port = 443

    def connect(self) -> None:
        ours = (self.source, 0) if self.source else None
        with self.place.entered():
            self.sock = socket.create_connection((address_of(self.host), self.port), self.timeout, ours)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.trust or None)
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask, and read the whole answer."""
        self.request(method, path, body, dict(headers or {}))
        found = self.getresponse()
        return Reply(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())

    def predict(self, link: Shared, value: float, **headers: str) -> Reply:
        """Ask a link for the prediction for one value."""
        body = json.dumps({"input": [[value]]})
        return self.ask("POST", urlsplit(link.predict_url).path, body, {**link.headers, **headers})


@contextmanager
def visiting(place: Place, link: Shared, **options: Any) -> Iterator[Visit]:
    """Open a connection to where a link leads."""
    visit = Visit(place, link.predict_url, **options)
    try:
        yield visit
    finally:
        visit.close()


@attrs.frozen
class Fate:
    """What became of one request: a status and whether it was right, or why there was no answer."""

    asked: float
    ended: float
    status: int
    right: bool
    why: str = ""


class Hammer:
    """Asks a link without a pause, whatever happens. Made by `hammering`."""

    def __init__(self, place: Place, link: Shared, **options: Any) -> None:
        self.link, self.fates = link, list[Fate]()
        self._visit: Callable[[], Visit] = lambda: Visit(place, link.predict_url, **options)
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask until `end`, over one connection while it lasts."""
        visit = self._visit()
        while not self._ended.is_set():
            fate = self._ask(visit)
            self.fates.append(fate)
            if fate.status != 200:
                visit.close()
                visit = self._visit()
                self._ended.wait(0.02)
        visit.close()

    def _ask(self, visit: Visit) -> Fate:
        value, asked = next(VALUES) / 8, time.monotonic()
        try:
            reply = visit.predict(self.link, value)
        except (OSError, http.client.HTTPException) as error:
            return Fate(asked, time.monotonic(), 0, False, type(error).__name__)
        right = reply.is_right(value, self.link.factor)
        return Fate(asked, time.monotonic(), reply.status, right, "" if right else reply.body.decode()[:200])

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    # --- what became of them ----------------------------------------------------------

    @property
    def wrong(self) -> list[Fate]:
        """Answers that say something else than the model does: there must be none, ever."""
        return [fate for fate in self.fates if fate.status == 200 and not fate.right]

    def answered(self, moment: float, seconds: float = PATIENCE_S) -> float:
        """Wait for a right answer to what was asked after ``moment``; return how long after it came."""
        ends = time.monotonic() + seconds
        while True:
            for fate in tuple(self.fates):
                if fate.asked >= moment and fate.right:
                    return fate.ended - moment
            assert time.monotonic() < ends, f"no answer for {seconds} s: {self.outcomes(moment)}"
            time.sleep(0.01)

    def outcomes(self, since: float = 0.0) -> Counter[str]:
        """Count what became of requests."""
        told = (f"{f.status} {'right' if f.right else f.why}" for f in tuple(self.fates) if f.asked >= since)
        return Counter(told)


@contextmanager
def hammering(place: Place, link: Shared, *, threads: int = 2, **options: Any) -> Iterator[Hammer]:
    """Let a stranger ask a link without a pause, over some connections, until left."""
    hammer = Hammer(place, link, **options)
    workers = [threading.Thread(target=hammer.run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield hammer
    finally:
        hammer.end()
        for worker in workers:
            worker.join(2 * PATIENCE_S)
