"""Hostile and careless HTTP over real connections: what is refused, by whom, and that the server goes on."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from prism_core.testing.server import ServerProcess

BODY = b'{"input":[[1,1]]}'
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"11\r\n%b\r\n0\r\n\r\n" % BODY
LIMITS = "limits: {max_body: 8MB, head_s: 0.5, body_s: 0.5, body_rate: 1000000, write_s: 0.5, idle_s: 30}"


def request(*lines, body=BODY, start="POST /model/line/predict HTTP/1.1", host=True, length=True, end="\r\n"):
    """Return the bytes of a request, as they are."""
    head = [start, *(["Host: prism"] if host else []), *lines]
    head += [f"Content-Length: {len(body)}"] if length else []
    return end.join([*head, "", ""]).encode("latin-1") + body


def chunked(body, *lines):
    return request(CHUNKED, *lines, body=body, length=False)


# Name -> bytes, and the status that they get.
TABLE = {
    "plain": (request(), 200),
    "chunked": (chunked(CHUNKS), 200),
    "chunk extension": (chunked(CHUNKS.replace(b"11\r", b"11;a=b\r")), 200),
    "trailer": (chunked(CHUNKS.replace(b"0\r\n", b"0\r\nContent-Type: text/csv\r\n")), 200),
    "HTTP/1.0": (request(start="POST /model/line/predict HTTP/1.0", host=False), 200),
    "absolute target": (request(start="POST http://prism/model/line/predict HTTP/1.1"), 200),
    "length and chunks": (request(CHUNKED, body=CHUNKS), 400),
    "chunks and length": (request(CHUNKED, "Content-Length: 3", body=CHUNKS, length=False), 400),
    "two equal lengths": (request(f"Content-Length: {len(BODY)}"), 400),
    "two lengths": (request("Content-Length: 3"), 400),
    "a list of lengths": (request("Content-Length: 17, 17", length=False), 400),
    "a signed length": (request("Content-Length: +17", length=False), 400),
    "a negative length": (request("Content-Length: -1", length=False), 400),
    "a length in hex": (request("Content-Length: 0x11", length=False), 400),
    "a length beyond numbers": (request("Content-Length: 99999999999999999999", length=False), 400),
    "a space before the colon": (request("Content-Length : 17", length=False), 400),
    "a folded header": (request("X-A: b", "  c"), 400),
    "a folded length": (request("Content-Length: 1", " 7", length=False), 400),
    "line feeds alone": (request(end="\n"), 400),
    "one line feed alone": (request("X-A: b\nX-B: c"), 400),
    "one carriage return alone": (request("X-A: b\rX-B: c"), 400),
    "a zero byte": (request("X-A: b\0c"), 400),
    "identity and a length": (request("Transfer-Encoding: identity"), 400),
    "an unknown coding": (request("Transfer-Encoding: xchunked", body=CHUNKS, length=False), 400),
    "chunked is not the last": (request(f"{CHUNKED}, identity", body=CHUNKS, length=False), 400),
    "chunked twice": (request(CHUNKED, CHUNKED, body=CHUNKS, length=False), 400),
    "chunked behind a tabulator": (request("Transfer-Encoding:\x0bchunked", body=CHUNKS, length=False), 400),
    "a chunk of no size": (chunked(b"zz\r\n" + CHUNKS), 400),
    "a chunk beyond numbers": (chunked(b"F" * 18 + b"\r\n" + CHUNKS), 400),
    "a negative chunk": (chunked(b"-1\r\n" + CHUNKS), 400),
    "a chunk with 0x": (chunked(b"0x" + CHUNKS), 400),
    "a chunk that is longer than it says": (chunked(b"5" + CHUNKS[2:]), 400),
    "chunks by line feeds": (chunked(CHUNKS.replace(b"\r", b"")), 400),
    "no version": (request(start="POST /model/line/predict"), 400),
    "HTTP/2.0": (request(start="POST /model/line/predict HTTP/2.0"), 400),
    "an unknown method": (request(start="P@ST /model/line/predict HTTP/1.1"), 400),
    "a tabulator in the first line": (request(start="POST\t/model/line/predict HTTP/1.1"), 400),
    "no host": (request(host=False), 400),
    "two hosts": (request("Host: other"), 400),
    "a header without a name": (request(": x"), 400),
    "a long target": (request(start=f"POST /model/line/predict?{'x' * 9000} HTTP/1.1"), 414),
    "a long header": (request("X-A: " + "x" * 40_000), 431),
    "a header without end": (request(length=False, body=b"")[:-2] + b"X-A: " + b"x" * 700_000, 431),
    "a chunk whose size never ends": (chunked(b"5;" + b"x" * 700_000), 431),
    "a trailer without end": (chunked(CHUNKS[:-2] + b"X-A: " + b"x" * 700_000), 431),
    "many headers": (request(*["a:"] * 120), 431),
    "too large": (request("Content-Length: 99999999", length=False, body=b"x" * 1000), 413),
    "too large, and asks": (
        request("Expect: 100-continue", "Content-Length: 99999999", length=False, body=b""),
        413,
    ),
}
# Behind so long a head a request goes the long way.
FILLER = b"X-Filler: " + b"f" * 2100 + b"\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    with ServerProcess(tmp_path_factory.mktemp("hard") / "data", config=LIMITS) as server:
        server.upload(models / "line.pkl")
        yield server


def connect(server: ServerProcess) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port), timeout=10)


def read(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers, body."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        lines = iter(file.readline, b"\r\n")
        headers = dict(line.decode().strip().lower().split(": ", 1) for line in lines)
        return status, headers, file.read(int(headers["content-length"]))


def is_closed(connection: socket.socket) -> bool:
    """Wait for the server's end of the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("way", ["short", "long"])
def test_what_is_refused_and_what_is_not(server, name, way):
    raw, expected = TABLE[name]
    if way == "long":
        first, line, rest = raw.partition(b"\r\n")
        raw = first + line + FILLER + rest if line else raw
    with closing(connect(server)) as connection:
        connection.sendall(raw)
        status, headers, body = read(connection)
        assert status == expected, body
        if status == 200:
            assert json.loads(body)["predictions"] == pytest.approx([5])
        else:
            assert json.loads(body)["status"] == status
            assert headers["connection"] == "close"
            assert is_closed(connection)


def test_what_is_sent_behind_a_refused_request_is_not_answered(server):
    """Whoever smuggles a request behind a wrong one gets nothing for it."""
    with closing(connect(server)) as connection:
        connection.sendall(request("Content-Length: 3") + request() * 3)
        assert read(connection)[0] == 400
        assert is_closed(connection)


def test_answers_that_are_due_come_before_the_refusal_of_what_follows(server):
    with closing(connect(server)) as connection:
        connection.sendall(
            request() + b"GET /v1/models HTTP/1.1\r\nHost: prism\r\n\r\n" + b"nonsense\r\n\r\n"
        )
        assert [read_from(connection) for _ in range(2)] == [200, 200]
        assert is_closed(connection)


def read_from(connection: socket.socket) -> int:
    """Read one answer byte by byte, so that nothing of the next is lost; return its status."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while length:
        length -= len(connection.recv(length))
    return int(head.split()[1])


def test_thousands_of_requests_in_one_piece_are_not_all_remembered(server):
    with closing(connect(server)) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: prism\r\n\r\n" * 5000)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))

    assert 1 <= received.count(b"HTTP/1.1 200") <= 70


# --- slow clients ------------------------------------------------------------------------------


def drip(connection: socket.socket, data: bytes, enough: threading.Event) -> None:
    """Send one byte after the other until there is an answer."""
    for at in range(len(data)):
        connection.sendall(data[at : at + 1])
        if enough.wait(0.05):
            return


SPACES = b" " * 1000
LARGE = b'{"input":[%b]}' % b",".join([b"[1,1]"] * 60_000)


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"", request()),
        (request(body=b"", length=False)[:-2], b"X-A: " + b"a" * 500),
        (request(body=SPACES)[:-900], SPACES),
        (request(FILLER.decode().strip(), body=SPACES)[:-900], SPACES),
        (request(body=LARGE)[:2000], LARGE),
        (chunked(b""), b"5\r\n12345\r\n" * 100),
    ],
    ids=["head", "header", "body", "body, the long way", "large body", "chunks"],
)
def test_one_byte_after_the_other_ends_in_time(server, begin, rest):
    with closing(connect(server)) as connection:
        connection.sendall(begin)
        answered = threading.Event()
        sending = threading.Thread(target=drip, args=(connection, rest, answered))
        sending.start()
        begun = time.monotonic()
        status, headers, body = read(connection)
        took_s = time.monotonic() - begun
        answered.set()
        sending.join()
        assert is_closed(connection)

    assert (status, json.loads(body)["code"], headers["connection"]) == (408, "request_too_slow", "close")
    assert took_s < 8, "half a second is the limit; twenty times that is no deadline"


def test_a_body_with_pauses_that_keeps_its_rate_is_answered(server):
    """The deadline moves on with what has come: a megabyte is worth a second here."""
    whole = request(body=LARGE)
    with closing(connect(server)) as connection:
        for at in range(0, len(whole), len(whole) // 6 + 1):
            connection.sendall(whole[at : at + len(whole) // 6 + 1])
            time.sleep(0.1)
        assert read(connection)[0] == 200


def test_a_client_that_never_reads_is_cut(server, tmp_path):
    """Its answers are bounded by what may wait for one client, and end with it."""
    np.save(tmp_path / "rows.npy", np.ones((300_000, 2)))
    body = (tmp_path / "rows.npy").read_bytes()
    whole = request("Content-Type: application/x-npy", body=body)
    gateway = psutil.Process(server.process.pid)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = httpx.URL(server.url)
        connection.settimeout(20)
        connection.connect((url.host, url.port))
        ours = connection.getsockname()[1]
        sending = threading.Thread(target=drip_whole, args=(connection, whole))
        sending.start()
        wait_until(lambda: all(c.raddr.port != ours for c in gateway.net_connections("tcp") if c.raddr))
        sending.join()

    assert httpx.post(f"{server.url}/model/line/predict", content=BODY).status_code == 200


def drip_whole(connection: socket.socket, whole: bytes) -> None:
    try:
        for _ in range(20):
            connection.sendall(whole)
    except OSError:
        pass


def wait_until(holds) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come to pass within twenty seconds"
        time.sleep(0.02)


# --- many clients ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_eight(tmp_path_factory):
    config = "limits: {max_connections: 8, head_s: 30}"
    with ServerProcess(tmp_path_factory.mktemp("small") / "data", config=config) as server:
        yield server


@pytest.fixture
def small(of_eight):
    """A server that takes eight connections, and has none."""
    process = psutil.Process(of_eight.process.pid)
    port = httpx.URL(of_eight.url).port
    wait_until(lambda: not any(c.raddr and c.laddr.port == port for c in process.net_connections("tcp")))
    return of_eight


def live(connection: socket.socket) -> int:
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: prism\r\n\r\n")
    return read(connection)[0]


def test_a_full_house_makes_room_for_who_asks(small):
    """The connection that has been idle for longest goes, not the newcomer."""
    with ExitStack() as stack:
        guests = [stack.enter_context(closing(connect(small))) for _ in range(8)]
        assert live(guests[0]) == 200
        time.sleep(0.02)  # the event loop's clock counts milliseconds
        assert [live(guest) for guest in guests[1:]] == [200] * 7
        newcomer = stack.enter_context(closing(connect(small)))

        assert live(newcomer) == 200
        assert is_closed(guests[0])
        assert live(guests[7]) == 200


def test_a_house_full_of_busy_ones_says_so(small):
    with ExitStack() as stack:
        guests = [stack.enter_context(closing(connect(small))) for _ in range(8)]
        for guest in guests:  # what is behind the first request has been read when that is answered
            guest.sendall(b"GET /health/live HTTP/1.1\r\nHost: prism\r\n\r\nGET /health")
        assert [read(guest)[0] for guest in guests] == [200] * 8
        newcomer = stack.enter_context(closing(connect(small)))
        newcomer.sendall(b"GET /health/live HTTP/1.1\r\nHost: prism\r\n\r\n")
        status, headers, body = read(newcomer)

        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "1", "overloaded")
        assert httpx.get(f"{small.facts['admin']}/admin/v1/models").status_code == 401, "the owner has a door"
        guests[0].sendall(b"/live HTTP/1.1\r\nHost: prism\r\n\r\n")
        assert read(guests[0])[0] == 200


def lowest_free(pid: int) -> int:
    """Return the number that the next descriptor of a process would have."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in count() if number not in taken)


def test_without_descriptors_it_waits_and_does_not_spin(small):
    process = psutil.Process(small.process.pid)
    with closing(connect(small)) as known:
        assert live(known) == 200
        known.sendall(b"GET /health")  # not idle, so not one that goes to make room
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (lowest_free(process.pid), limits[1]))
        with closing(connect(small)) as waiting:
            waiting.sendall(b"GET /health/live HTTP/1.1\r\nHost: prism\r\n\r\n")
            before = sum(process.cpu_times()[:2])
            time.sleep(1)
            spent_s = sum(process.cpu_times()[:2]) - before
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            assert read(waiting)[0] == 200
        known.sendall(b"/live HTTP/1.1\r\nHost: prism\r\n\r\n")
        assert read(known)[0] == 200

    assert spent_s < 0.5
    assert small.log.read_text().count("server.cannot_accept") == 1
