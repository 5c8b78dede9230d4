"""The short way answers what the long way answers, however the bytes come."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prism_core.errors import Forbidden, InvalidInput, Overloaded
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.keys import KeyTable, KeyWish, new_key
from prism_core.gateway.service import PredictService
from prism_core.rest.accepting import _server
from prism_core.rest.access import AccessLog
from prism_core.rest.bounded import BoundedProtocol
from prism_core.rest.cors import ModelCors
from prism_core.rest.heads import REMEMBERED
from prism_core.rest.linked import link_way
from prism_core.rest.predict import PredictFront
from prism_core.rest.routing import Routes
from prism_core.settings import LimitSettings
from prism_core.specs import Caller


def request(body=b"[[1]]", *lines, path="/model/m/predict", method="POST"):
    head = [f"{method} {path} HTTP/1.1", "Host: prism", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


class Transport:
    """Remembers what was written; says when reading is paused."""

    def __init__(self):
        self.written = b""
        self.closed = self.paused = False

    def write(self, data):
        self.written += data

    def writelines(self, parts):
        self.written += b"".join(parts)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def can_write_eof(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def get_extra_info(self, name, default=None):
        return default

    def set_protocol(self, protocol):
        self.protocol = protocol


class Service(PredictService):
    """Serves one lane; counts what comes the short way."""

    def __init__(self, lane):
        self.short = 0
        super().__init__(self)
        self.lanes = {"m": lane, "m/3": lane}

    def ask(self, *asked):
        self.short += 1
        return super().ask(*asked)

    def explain(self, reference):
        return Forbidden(f"{reference} is not served.")


CORS = ModelCors(frozenset({"https://app.example"}), {})


class Connection:
    """One client of a server whose replica answers at once, unless it is told to hold."""

    def __init__(
        self, scene, door=None, max_body_bytes=1 << 20, short=True, access=None, links=None, dialects=()
    ):
        self.scene, self.service = scene, Service(scene.lane)
        front = PredictFront(
            self.service,
            self.others,
            max_body_bytes=max_body_bytes,
            door=door,
            access=access,
            cors=CORS,
            links=link_way(self.service, links) if links is not None else None,
            routes=Routes(dialects),
        )
        self.server = _server(front)
        self.server.server_state.default_headers = [(b"date", b"today")]
        if not short:
            self.server.config.http_protocol_class = partial(BoundedProtocol, LimitSettings())
        self.hold = False
        self.requests = []
        scene.replica.ask = self.ask_replica
        self.connect()

    def connect(self):
        self.transport = Transport()
        state = self.server.server_state
        self.protocol = self.server.config.http_protocol_class(
            config=self.server.config, server_state=state, app_state={}
        )
        self.protocol.connection_made(self.transport)

    def ask_replica(self, head, body, timeout_s, answer, request=""):
        self.requests.append(request)
        call_id = type(self.scene.replica).ask(self.scene.replica, head, body, timeout_s, answer)
        if not self.hold:
            asyncio.get_running_loop().call_soon(self.answer, call_id, body)
        return call_id

    def answer(self, call_id, body=b"[1]"):
        if call_id in self.scene.replica.waiting:
            self.scene.replica.answer(call_id, body=b'{"echo": %s}' % body)

    async def others(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"other"})

    async def settle(self):
        for _ in range(60):
            await asyncio.sleep(0)

    async def send(self, *pieces):
        """Send pieces, each when the one before is dealt with; return the answers so far."""
        for piece in pieces:
            self.protocol.data_received(piece)
            await self.settle()
        return answers(self.transport.written)

    async def send_large(self, whole):
        """Send a large request, its body as the kernel writes it into the memory in which it stays."""
        await self.send(whole[:1000])
        filling = self.transport.protocol
        for at in range(1000, len(whole), 100_000):
            piece = whole[at : at + 100_000]
            filling.get_buffer(-1)[: len(piece)] = piece
            filling.buffer_updated(len(piece))
        await self.settle()


def answers(data):
    """Split what was written into (status, headers, body), without what differs from time to time."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if re.fullmatch(r"[0-9a-f]{12}-\d+", headers.get("x-request-id", "")):
            headers["x-request-id"] = "made"
        size = int(headers.get("content-length", 0))
        body, data = rest[:size], rest[size:]
        found.append((status, headers, re.sub(rb'"error_id":"\w+"', b"", body)))
    return found


@pytest.fixture
async def connection(scene_of):
    return Connection(scene_of(deterministic=False))  # so that nothing is kept


async def test_a_plain_request_takes_the_short_way_whether_its_head_is_known_or_not(connection):
    one, two = await connection.send(
        request(b"[[1]]", "Cache-Control: no-store"), request(b"[[2]]", "Cache-Control: no-store")
    )

    assert connection.service.short == 2
    assert one[:2] == two[:2]
    assert (one[2], two[2]) == (b'{"echo": [[1]]}', b'{"echo": [[2]]}')
    assert two[1]["date"] == "today"


@pytest.mark.parametrize(
    "plain",
    [
        request(b"[[1]]", "Connection: close"),
        request(b"", "Connection: close"),
        request(b"[[1]]", "Expect: 100-continue"),
        request(b"[[1]]", "Upgrade: websocket", "Connection: upgrade"),
        request(b"[[1]]", "X-Filler: " + "x" * 2048),
        request(b"[[1]]", "X-Prism-Timeout: soon"),
        request(b"[[1]]").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        + b"5\r\n[[1]]\r\n0\r\n\r\n",
        request(b"[[1]]", path="/model/m"),
        request(b"[[1]]", method="PUT"),
    ],
    ids=[
        "close",
        "no body",
        "expect",
        "upgrade",
        "long",
        "wrong",
        "http1.0",
        "chunked",
        "other",
        "put",
    ],
)
async def test_what_is_not_plain_never_takes_it(connection, plain):
    for _ in range(3):
        await connection.send(plain)
        connection.connect()

    assert connection.service.short == 0


async def test_a_large_body_is_received_into_its_own_memory_and_answered_the_same(connection):
    body = b"[[%b]]" % b"1".zfill(LARGE_BYTES)
    whole = request(body, "Cache-Control: no-store")
    (one,) = await connection.send(whole)
    connection.transport.written = b""
    await connection.send_large(whole)

    assert connection.service.short == 2
    assert answers(connection.transport.written) == [one]
    assert connection.transport.protocol is connection.protocol


async def test_a_large_body_that_a_guard_refuses_is_not_received(scene_of):
    class Guard:
        asked = 0

        def check(self, call):
            self.asked += 1
            if self.asked > 1:
                raise Forbidden("Enough.")

    guard = Guard()
    connection = Connection(scene_of(deterministic=False), Door(guards=[guard]))
    whole = request(b"[[%b]]" % b"1".zfill(LARGE_BYTES))
    await connection.send(whole)
    connection.transport.written = b""
    (refused,) = await connection.send(whole[:1000])

    assert refused[0] == "HTTP/1.1 403 Forbidden"
    assert not hasattr(connection.transport, "protocol")


async def test_a_client_that_goes_away_with_half_a_large_body_leaves_nothing(connection):
    whole = request(b"[[%b]]" % b"1".zfill(LARGE_BYTES))
    await connection.send(whole[:1000])
    connection.transport.protocol.connection_lost(None)
    await connection.settle()

    assert connection.service.short == 0
    assert not connection.server.server_state.connections


KINDS = {
    "with an id": request(b"[[1]]", "X-Request-Id: r-1"),
    "with another": request(b"[[1]]", "x-request-id: r-2"),
    "with an odd one": request(b"[[1]]", "X-Request-Id: r 3"),
    "with two": request(b"[[1]]", "X-Request-Id: r-4", "X-Request-Id: r-5"),
    "of a page": request(b"[[1]]", "Origin: https://app.example"),
    "of another page": request(b"[[1]]", "Origin: https://other.example"),
    "a page of nobody's": request(b"[[1]]", "Origin: https://app.example", path="/model/nobody/predict"),
    "known": request(b"[[1]]"),
    "longer": request(b"[[1],[2]]"),
    "named": request(b"[[3]]", path="/model/m/versions/3/predict"),
    "unknown model": request(b"[[1]]", path="/model/nobody/predict"),
    "other": request(b"", method="GET", path="/health/live"),
    "chunked": request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    + b"5\r\n[[1]]\r\n0\r\n\r\n",
    "looks like a head": request(b"\r\n\r\nPOST /x HTTP/1.1\r\n\r\n"),
}


CUTS = st.lists(st.floats(0, 1), max_size=6)
ANY_PIECES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def some_of(kinds):
    return st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=8)


async def check_alike(scene_of, requests, cuts, door=None, **facts):
    """The oracle is a connection of its own for each request, which knows no short way."""
    stream = b"".join(requests)
    places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    expected = []
    for one in requests:
        expected += await Connection(scene_of(deterministic=False), door, short=False, **facts).send(one)
    connection = Connection(scene_of(deterministic=False), door, **facts)
    assert await connection.send(*pieces) == expected
    return expected


@ANY_PIECES
@given(some_of(KINDS), CUTS)
def test_any_requests_in_any_pieces_are_answered_alike_and_in_order(scene_of, kinds, cuts):
    asyncio.run(check_alike(scene_of, [KINDS[kind] for kind in kinds], cuts))


(ALL, OPENS_ALL), (ONE, OPENS_ONE), (NONE, OPENS_NONE) = (
    new_key(KeyWish(models=models), 0.0) for models in ((), ("m",), ("other",))
)
# How a caller shows who it is -> what each of these requests is answered.
CALLERS = {
    "nobody": ((), 401),
    "wrong": (("X-API-Key: prism_wrong",), 401),
    "all": ((f"Authorization: Bearer {OPENS_ALL}",), 200),
    "one": ((f"X-API-Key: {OPENS_ONE}",), 200),
    "another": ((f"Authorization: Bearer {OPENS_NONE}",), 403),
    "two": ((f"Authorization: Bearer {OPENS_ALL}", f"Authorization: Bearer {OPENS_ALL}"), 401),
}


@ANY_PIECES
@given(some_of(CALLERS), CUTS)
def test_callers_on_one_connection_are_told_apart_alike_on_both_ways(scene_of, callers, cuts):
    """As behind a proxy that sends the requests of many callers over one connection."""
    requests = [request(b"[[1]]", *CALLERS[caller][0]) for caller in callers]
    told = asyncio.run(check_alike(scene_of, requests, cuts, Door(identity=KeyTable([ALL, ONE, NONE]))))

    assert [int(answer[0].split()[1]) for answer in told] == [CALLERS[caller][1] for caller in callers]


async def test_a_page_is_told_that_it_may_read_the_short_answer(connection):
    pages = [KINDS["of a page"], KINDS["of another page"], KINDS["known"]]
    one, two, none = [headers for _, headers, _ in await connection.send(*pages)]

    assert connection.service.short == 3
    assert one["access-control-allow-origin"] == "https://app.example"
    assert (one["vary"], two["vary"], none.get("vary")) == ("Origin", "Origin", None)
    assert "access-control-allow-origin" not in {**two, **none}


async def test_pipelined_requests_wait_for_their_turn(connection):
    await connection.send(request())
    connection.hold = True
    known = request(b"[[7]]")
    await connection.send(known + known + known)

    assert connection.transport.paused
    assert connection.scene.replica.in_flight == 1
    connection.hold = False
    connection.answer(2, b"[[7]]")
    await connection.settle()
    assert len(answers(connection.transport.written)) == 4
    assert not connection.transport.paused


async def test_what_comes_right_behind_an_answer_stays_behind_what_came_before(connection):
    """The socket is read again as soon as there is an answer: that must not overtake what waits here."""
    connection.hold = True
    two = request(b"[[22222]]")
    await connection.send(request(b"[[1]]"), two[:-5])
    connection.answer(1, b"1")
    connection.protocol.data_received(two[-5:])
    await connection.settle()
    connection.answer(2, b"2")
    await connection.settle()

    assert [body for _, _, body in answers(connection.transport.written)] == [b'{"echo": 1}', b'{"echo": 2}']


async def test_a_client_that_hangs_up_is_cancelled_in_the_runtime(connection):
    await connection.send(request())
    connection.hold = True
    await connection.send(request(b"[[8]]"))
    connection.protocol.connection_lost(None)

    assert connection.scene.replica.cancelled == [2]
    assert connection.scene.lane.in_flight == 0


async def test_a_client_that_does_not_read_is_not_served_on(connection):
    await connection.send(request())
    connection.protocol.pause_writing()
    await connection.send(request(b"[[8]]") + request(b"[[9]]"))
    assert len(answers(connection.transport.written)) == 2

    connection.protocol.resume_writing()
    await connection.settle()
    assert len(answers(connection.transport.written)) == 3


async def test_a_stopping_server_answers_what_is_due_and_closes(connection):
    await connection.send(request())
    connection.hold = True
    await connection.send(request(b"[[8]]"))
    connection.protocol.shutdown()
    (due,) = connection.server.server_state.tasks
    connection.answer(2)
    await due

    assert answers(connection.transport.written)[1][1]["connection"] == "close"
    assert connection.transport.closed


async def test_a_server_that_waits_no_longer_says_so(connection):
    await connection.send(request())
    connection.hold = True
    await connection.send(request(b"[[8]]"))
    connection.protocol.shutdown()
    (due,) = connection.server.server_state.tasks
    due.cancel()
    await connection.settle()

    status, _, body = answers(connection.transport.written)[1]
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(body)["code"] == "overloaded"
    assert connection.scene.replica.cancelled == [2]


async def test_an_idle_connection_that_is_shut_down_is_closed(connection):
    await connection.send(request(), request())
    connection.protocol.shutdown()

    assert connection.transport.closed


class OnlyOnce:
    """Refuses from the second call on."""

    calls = 0

    def check(self, call):
        self.calls += 1
        if self.calls > 1:
            raise Forbidden(f"{call.model} was asked with {call.body_bytes} bytes by {call.headers['host']}.")


async def test_guards_are_asked_each_time(scene):
    connection = Connection(scene, Door(guards=[OnlyOnce()]))
    one, two = await connection.send(request(), request())

    assert (one[0], two[0]) == ("HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden")
    assert b"m was asked with 5 bytes by prism." in two[2]


async def test_a_hostile_client_cannot_fill_the_memory_with_heads(connection):
    heads = connection.protocol._heads
    for number in range(REMEMBERED + 2):
        assert heads.find(request(b"", f"X-Number: {number}"))[0]

    assert len(heads.known) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"POST /model/m/predict HTTP/1.1\nContent-Length: 2\r\n\r\n",
        b"POST /model/m/predict HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"POST /model/m/predict HTTP/1.1\r\nContent-Length: 2x\r\n\r\n",
        b"POST /model/m/predict HTTP/1.1\r\nContent-Length: 2\r\n Transfer-Encoding: chunked\r\n\r\n",
        b"POST /model/m/predict HTTP/1.1\r\nContent Length: 2\r\n\r\n",
        b"POST /model/\xff/predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
        b"POST model HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
        b"POST http://prism HTTP/1.1\r\nContent-Length: 2\r\n\r\n",  # a target without a path
        b"\r\n\r\n",
        b"",
    ],
)
def test_a_head_that_two_parsers_might_read_differently_is_not_plain(connection, head):
    assert connection.protocol._heads.find(head)[0] is None


async def test_a_crowd_is_refused_each_in_its_own_way(connection):
    await connection.send(request(), request(b"[[1]]", "Accept: text/csv"))
    connection.scene.lane.crowd.bound = 0
    refused = (await connection.send(request(), request()))[2:]
    connection.server.server_state.default_headers = [(b"date", b"tomorrow")]
    later = (await connection.send(request()))[4:]

    assert [(status, headers["retry-after"]) for status, headers, _ in refused] == [
        ("HTTP/1.1 503 Service Unavailable", "1")
    ] * 2
    assert [headers["date"] for _, headers, _ in (*refused, *later)] == ["today", "today", "tomorrow"]
    assert json.loads(refused[0][2]) == json.loads(later[0][2])


@pytest.mark.parametrize("busy", [True, False])
async def test_an_idle_connection_is_closed_in_the_end(connection, busy):
    await connection.send(request(), request())
    if busy:
        connection.hold = True
        await connection.send(request(b"[[8]]"))
    connection.protocol._used_at -= 1000
    connection.protocol._look()

    assert connection.transport.closed == (not busy)


class Counting:
    """Lets in and says how often."""

    count = 0

    def knock(self, client):
        return b""

    def admit(self, call):
        self.count += 1
        return b"ratelimit: %d\r\n" % self.count


@pytest.mark.parametrize("short", [True, False])
async def test_the_door_adds_lines_to_answers_and_to_refusals_behind_it(scene, short):
    connection = Connection(scene, Door(limiter=Counting()), short=short)
    unknown = request().replace(b"/model/m/", b"/model/unknown/")
    answers = await connection.send(request(), unknown, request())

    assert [answer[0] for answer in answers] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 403 Forbidden",
        "HTTP/1.1 200 OK",
    ]
    assert [answer[1]["ratelimit"] for answer in answers] == ["1", "2", "3"]


class Keeping(Counting):
    """Lets in, and hears what is taken back."""

    def give_back(self, call):
        self.count -= 1


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(("error", "counted"), [(Overloaded("full"), 0), (InvalidInput("wrong"), 1)])
async def test_a_call_that_was_turned_away_is_given_back(scene, short, error, counted):
    limiter = Keeping()
    connection = Connection(scene, Door(limiter=limiter), short=short)
    connection.hold = True
    await connection.send(request())
    scene.replica.answer(1, error)
    await connection.settle()

    assert answers(connection.transport.written)[0][0].startswith(f"HTTP/1.1 {error.status}")
    assert limiter.count == counted


# --- ids, and the access log ---------------------------------------------------------------------


async def test_an_id_takes_no_head_its_place(connection):
    """A client that numbers its requests has one head, not one for each."""
    plain, *numbered = [
        request(b"[[1]]", *lines) for lines in ([], *([f"X-Request-Id: r-{n}"] for n in range(9)))
    ]
    await connection.send(plain, *numbered)

    assert connection.service.short == 10
    assert len(connection.protocol._heads.known) == 1
    assert connection.requests[1:] == [f"r-{n}" for n in range(9)]
    told = [headers["x-request-id"] for _, headers, _ in answers(connection.transport.written)]
    assert told == ["made", *connection.requests[1:]]


@pytest.mark.parametrize(
    ("lines", "short"),
    [
        (["X-Request-Id: r 1"], False),
        (["X-REQUEST-ID: r-1"], False),
        (["X-Request-Id: r-1", "X-Request-Id: r-2"], False),
        (["X-Request-Id: r-1", "x-request-id: r-2"], False),
        (["X-Request-Id: r-1"], True),
    ],
)
async def test_an_odd_id_goes_the_long_way_and_is_answered(connection, lines, short):
    (answer,) = await connection.send(request(b"[[1]]", *lines))

    assert connection.service.short == short
    assert answer[0] == "HTTP/1.1 200 OK"
    assert answer[1]["x-request-id"] == connection.requests[0] or answer[1]["x-request-id"] == "made"


async def test_a_guard_sees_the_id_whichever_way_it_came(scene_of):
    class Guard:
        seen = []

        def check(self, call):
            self.seen.append(call.headers.get("x-request-id"))

    connection = Connection(scene_of(deterministic=False), Door(guards=[Guard()]))
    await connection.send(request(b"[[1]]", "X-Request-Id: r-1"), request(b"[[1]]", "X-REQUEST-ID: r-2"))

    assert Guard.seen == ["r-1", "r-2"]


async def test_what_the_parser_refuses_has_an_id_too(connection):
    (answer,) = await connection.send(b"POST what\r\n\r\n")

    assert (answer[0], answer[1]["x-request-id"]) == ("HTTP/1.1 400 Bad Request", "made")


class Access(AccessLog):
    """Keeps the lines."""

    def __init__(self, values=None):
        self.values, self.addresses, self.lines = values or {}, None, []

    def add(self, line):
        self.lines.append(line)


def told(line):
    return line.method, line.path, line.status, line.bytes, line.model, line.version, line.cache


@pytest.mark.parametrize("kind", [*KINDS, "large"])
async def test_the_access_log_tells_the_same_of_both_ways(scene_of, kind):
    asked = {**KINDS, "large": request(b"[[%b]]" % b"1".zfill(LARGE_BYTES))}[kind]
    lines = []
    for short in (True, False):
        access = Access({"m": 4})
        connection = Connection(scene_of(deterministic=False), short=short, access=access)
        *_, answer = await connection.send(asked)
        (line,) = access.lines
        assert line.bytes == int(answer[1]["content-length"])
        assert line.request == answer[1]["x-request-id"] or answer[1]["x-request-id"] == "made"
        lines.append((told(line), line.values))

    (path, values), other = lines
    assert path == other[0]
    assert values == other[1] or kind == "unknown model"  # its body is not read the long way
    assert 0 <= line.ms < 60_000


class Known:
    """Knows everybody, and which proxy asks for whom."""

    def of(self, *asked):
        return (
            Caller("key:ab12", frozenset({"predict"})) if len(asked) == 1 else asked[1].get("x-for", asked[0])
        )


@pytest.mark.parametrize("short", [True, False])
async def test_the_access_log_tells_who_asked_and_for_whom(scene_of, short):
    access = Access()
    door = Door(identity=Known(), addresses=Known())
    access.addresses = door.addresses
    connection = Connection(scene_of(deterministic=False), door, short=short, access=access)
    await connection.send(request(b"[[1]]", "X-For: 10.1.2.3"), request(b"", path="/model/nobody/predict"))

    assert [(line.address, line.caller) for line in access.lines] == [
        ("10.1.2.3", "key:ab12"),
        ("", "key:ab12"),
    ]


async def test_a_client_that_leaves_is_in_the_access_log(scene_of):
    access = Access()
    connection = Connection(scene_of(deterministic=False), access=access)
    connection.hold = True
    await connection.send(request())
    connection.transport.close()
    connection.protocol.connection_lost(None)

    assert [line.status for line in access.lines] == [499]


async def test_what_the_parser_refuses_is_in_the_access_log(scene_of):
    access = Access()
    connection = Connection(scene_of(deterministic=False), access=access)
    await connection.send(b"POST what\r\n\r\n")

    assert [(line.status, line.method) for line in access.lines] == [(400, "")]


async def test_no_query_string_is_in_the_access_log(scene_of):
    access = Access()
    for short in (True, False):
        connection = Connection(scene_of(deterministic=False), short=short, access=access)
        await connection.send(request(path="/model/m/predict?token=secret"))

    assert [line.path for line in access.lines] == ["/model/m/predict"] * 2
