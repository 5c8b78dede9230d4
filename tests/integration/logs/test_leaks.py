"""No answer tells a caller a path, a trace, a token, what others have sent, or how the server is made inside.

Every route of both listeners, taken from the applications' own tables, is asked with every
method and with inputs that were made to hurt; and models fail with secrets in what they say.
"""

from __future__ import annotations

import itertools
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from prism_core.rest.admin import admin_routes
from prism_core.rest.keys import key_routes
from prism_core.rest.linked import link_routes
from prism_core.rest.public import public_routes
from tests.integration.logs.conftest import entries
from tests.integration.logs.prism_leaky import FAULTS, SECRET

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")
# What stands for a path parameter.
NAMES = (
    "leaky",
    "nobody",
    "leaky@nobody",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "%ff%fe",
    "%f0%9f%92%a5",
    "a" * 5000,
    "'%22%3Cscript%3E",
    "-1",
    "99999999999999999999",
)
QUERIES = ("", "?version=x", "?tail=-1e9&follow=maybe", "?outputs=%00,..%2f", "?spec={}&spec_bytes=zz")
BODIES = (
    b"",
    b"{",
    b"\x00\xff\xfe",
    b'{"input": [[1, 2], ["\xf0\x9f\x92\xa5"]]}',
    b'{"input": [' + b"[" * 3000,
    b'{"version": "x"}',
    b'{"input": [[NaN]]}',
    b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n" + b"x" * 60,
    b"PK\x03\x04" + b"\x00" * 40,
    b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
    b"x" * 100_000,
)
MEDIA_TYPES = (
    "application/json",
    "text/csv",
    "application/x-npy",
    "application/octet-stream",
    "image/png",
    "application/vnd.prism.tensors",
    "application/x-fails",
    "multipart/form-data",
    "../../etc/passwd",
)
# Seconds after which an answer that has no end is what has come of it.
ENDLESS_S = 0.2


def patterns(server, site: Path) -> list[re.Pattern[bytes]]:
    """Return what no caller may be told."""
    secrets = [
        str(server.data_dir),
        str(site),
        sys.prefix,
        sys.base_prefix,
        str(Path.home()) if Path.home() != Path("/") else sys.prefix,
        str(Path(__file__).parents[3]),
        "site-packages",
        "/tmp/prism-",
        SECRET,
        "LeakyInside",
        "Traceback (most recent",
        (server.data_dir / "admin-token").read_text(),
    ]
    shapes = [
        rb"File \"[^\"]+\", line \d+",
        rb"<class '",
        rb" object at 0x",
        rb"\b[A-Z]\w+(Error|Exception)\(",
    ]
    return [re.compile(re.escape(text.encode())) for text in secrets] + [re.compile(one) for one in shapes]


@pytest.fixture(scope="module")
def leaks(server, site):
    """Return a function that says what an answer tells and should not."""
    known = patterns(server, site)

    def found(answer: bytes) -> list[bytes]:
        return [match[0] for pattern in known if (match := pattern.search(answer))]

    return found


class Caller:
    """Sends bytes as they are, on a connection each; an answer is all bytes of it."""

    def __init__(self, url: str, *headers: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.headers = headers

    def __call__(self, method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
        head = [f"{method} {target} HTTP/1.1", "Host: prism", f"Content-Length: {len(body)}"]
        lines = [*head, "Connection: close", *self.headers, *headers, "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1") + body)

    def raw(self, data: bytes) -> bytes:
        """Send ``data``; return what comes until the server closes."""
        with socket.create_connection(self.address, timeout=30) as sock:
            sock.sendall(data)
            answer = sock.recv(65536)
            sock.settimeout(ENDLESS_S if b"text/event-stream" in answer else 30)
            try:
                while answer and (more := sock.recv(65536)):
                    answer += more
            except (TimeoutError, ConnectionResetError):
                pass
        return answer


def targets(handlers) -> list[str]:
    """Return the paths of a route table, with every odd name in the place of each parameter."""
    paths = {path for handler in handlers for path in handler.paths}
    found = []
    for path in sorted(paths):
        for name in NAMES if "{" in path else ("",):
            # A version is a number where that matters, so that the model's odd name is looked up.
            filled = re.sub(r"\{(version):\w+\}", "1" if name == "leaky" else name, path)
            found.append(re.sub(r"\{\w+:\w+\}", name, filled))
    return found


PUBLIC = [
    *targets(public_routes(None)),
    *targets(link_routes(None, None)),
    "/",
    "/../../etc/passwd",
    "//",
    "/model/leaky/predict/",
    "*",
    "http://x/",
]
ADMIN = targets([*admin_routes(None, None), *key_routes(None)])


@pytest.fixture(scope="module")
def public(server) -> Caller:
    return Caller(server.url)


@pytest.fixture(scope="module")
def stranger(server) -> Caller:
    return Caller(server.facts["admin"])


@pytest.fixture(scope="module")
def owner(server) -> Caller:
    token = (server.data_dir / "admin-token").read_text()
    return Caller(server.facts["admin"], f"Authorization: Bearer {token}")


def status(answer: bytes) -> int:
    return int(answer[9:12]) if answer else 0


@pytest.mark.parametrize("method", METHODS)
def test_every_public_route_with_every_method(public, leaks, method):
    for target in PUBLIC:
        answer = public(method, target)
        assert answer.startswith(b"HTTP/1.1 "), target
        assert b"x-request-id: " in answer
        assert leaks(answer) == [], (method, target, answer[:500])
        assert status(answer) < 500, (method, target, answer[:500])


@pytest.mark.parametrize("method", METHODS)
def test_every_admin_route_without_the_token(stranger, leaks, method):
    for target in [*PUBLIC, *ADMIN]:
        answer = stranger(method, target)
        assert status(answer) in (400, 401, 414, 431), (target, answer[:500])
        assert leaks(answer) == [], (method, target, answer[:500])


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_public_route_with_odd_queries(public, leaks, query):
    for target in PUBLIC:
        for method in ("GET", "POST"):
            assert leaks(public(method, target + query)) == [], (method, target)


BODIES_TO = ["/model/leaky/predict", "/v1/models/leaky:predict", "/model/nobody/predict", "/v1/models"]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_odd_bodies_of_every_type(public, leaks, media_type):
    for target, body, accept in itertools.product(BODIES_TO, BODIES, ("*/*", media_type)):
        answer = public("POST", target, body, f"Content-Type: {media_type}", f"Accept: {accept}")
        assert answer.startswith(b"HTTP/1.1 ")
        assert leaks(answer) == [], (target, body[:60], answer[:500])


@pytest.mark.parametrize("number", [*FAULTS, -6, -7, -8])
def test_a_model_that_fails_with_secrets(public, owner, server, leaks, number):
    body = b'{"input": [[%d]]}' % number
    answers = [
        public("POST", "/model/leaky/predict", body, *headers)
        for headers in ([], ["Expect: 100-continue"], ["Content-Type: application/json"])
    ]
    for answer in answers:
        assert leaks(answer) == [], answer
        assert b"HTTP/1.1 500" in answer, answer
        (error_id,) = re.findall(rb'"error_id":"(\w+)"\}$', answer)
        log = owner("GET", "/admin/v1/models/leaky/logs?tail=5000") + server.log.read_bytes()
        assert error_id in log


def test_a_media_type_that_fails_with_secrets(public, leaks):
    read = public("POST", "/model/leaky/predict", b"x", "Content-Type: application/x-fails")
    written = public("POST", "/model/leaky/predict", b'{"input": [[1]]}', "Accept: application/x-fails")

    for answer in (read, written):
        assert status(answer) == 500
        assert leaks(answer) == []


RAW = [
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"POST /model/leaky/predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /model/leaky/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /model/leaky/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_what_is_no_request(public, stranger, leaks, data):
    for caller in (public, stranger):
        answer = caller.raw(data)
        assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
        assert leaks(answer) == [], answer[:500]


def test_another_callers_input_is_told_nobody(public, leaks):
    """A batch of two callers, one of whom sends what the model cannot take."""
    marked = b"mark-of-another-caller"
    public("POST", "/model/leaky/predict", b'{"input": [["%b"]]}' % marked)
    for body in BODIES:
        assert marked not in public("POST", "/model/leaky/predict", body)
    for target in PUBLIC:
        assert marked not in public("GET", target)


LOOKS = ("GET", "HEAD", "OPTIONS", "TRACE", "BREW")


def test_the_owner_is_told_reasons_and_never_a_token(owner, server):
    token = (server.data_dir / "admin-token").read_bytes()
    for target in ADMIN:
        for method in ("GET", "PUT", "PATCH") if "leaky" in target else METHODS:
            for body in (b"", b"{", b'{"version": 99}', b'{"version": "x"}')[: 1 if method in LOOKS else 4]:
                answer = owner(method, target, body, "Content-Type: application/json")
                assert answer.startswith(b"HTTP/1.1 ")
                assert token not in answer, (method, target)
                assert b"Traceback (most recent" not in answer or target.endswith("/logs")
                assert status(answer) < 500, (method, target, answer[:500])


def test_a_key_is_told_once_and_written_nowhere(owner, public, stranger, server):
    wish = b'{"name": "a", "models": ["leaky"]}'
    made = owner("POST", "/admin/v1/keys", wish, "Content-Type: application/json")
    (key,) = re.findall(rb'"key":"([^"]+)"', made)
    shown = [f"Authorization: Bearer {key.decode()}", f"X-API-Key: {key.decode()}"]
    for caller, header in itertools.product((public, stranger), shown):
        for target in ("/v1/models", "/model/leaky", "/nowhere", "/model/leaky/predict"):
            assert key not in caller("POST", target, b"{", header)
    for target in ADMIN:
        if "/events" not in target:
            assert key not in owner("GET", target)
    public("POST", f"/model/leaky/predict?key={key.decode()}", b"{}")
    written = [path for path in server.data_dir.rglob("*") if path.is_file() and path.name != "server.json"]

    assert {"audit.jsonl", "access.log", "prism.db"} <= {path.name for path in written}
    assert [path.name for path in (*written, server.log) if key in path.read_bytes()] == []
    key_id = key.split(b"_")[1].decode()
    assert ("key.create", key_id) in [(entry.action, entry.subject) for entry in entries(server)]


def test_who_waits_for_a_model_that_does_not_load_is_not_told_why(server, public, leaks, tmp_path):
    """The owner is: with the last lines of the log, as documented."""
    (tmp_path / "once.leaky").write_text("whole")
    lazy = ("--min-replicas", "0", "--idle-unload", "1")
    uploaded = server.upload(tmp_path / "once.leaky", "--name", "once", *lazy)
    digest = server.json("show", "once")["digest"].replace(":", "-")
    for _ in range(600):
        if not server.json("show", "once")["loaded"]:
            break
    artifact = server.data_dir / "artifacts" / digest
    artifact.chmod(0o600)
    artifact.write_text("broken")
    with ThreadPoolExecutor(12) as pool:  # enough that some wait at either gateway
        asked = [pool.submit(public, "POST", "/model/once/predict", b'{"input": [[1]]}') for _ in range(12)]
    answers = [one.result() for one in asked]
    assert {status(answer) for answer in answers} == {503}
    answers += [public("GET", target) for target in ("/model/once", "/v1/models/once", "/v1/models/status")]

    assert uploaded["model"] == "once"
    for answer in answers:
        assert leaks(answer) == [], answer
    server.run("remove", "once", "--yes")


def test_a_failed_upload_tells_the_owner_and_no_token(server, tmp_path):
    (tmp_path / "broken.leaky").write_text("broken")
    done = server.run("upload", str(tmp_path / "broken.leaky"), "--json", check=False)

    assert done.returncode == 1
    assert SECRET in done.stderr
    assert (server.data_dir / "admin-token").read_text() not in done.stderr + done.stdout
