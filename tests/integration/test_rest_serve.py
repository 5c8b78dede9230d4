"""Starting, listening, draining and stopping, with real sockets and signals."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from prism_core.errors import ConfigError
from prism_core.rest.listen import address_of, listen
from prism_core.rest.serve import _announced
from prism_core.testing.server import ServerProcess

SPEC = {"spec": json.dumps({"filename": "x.pkl"})}


@pytest.fixture
def make_server(tmp_path):
    servers: list[ServerProcess] = []

    def make(config: str = "", *flags: str) -> ServerProcess:
        servers.append(ServerProcess(tmp_path / f"data{len(servers)}", *flags, config=config).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def token(server: ServerProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}


def admin_client(server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=server.facts["admin"], headers=token(server), timeout=30)


@contextmanager
def half_an_upload(server: ServerProcess, *, length: int) -> Iterator[socket.socket]:
    """Send the head of an upload and one of its bytes."""
    admin = httpx.URL(server.facts["admin"])
    path = httpx.URL("/admin/v1/upload", params=SPEC).raw_path.decode()
    head = [f"POST {path} HTTP/1.1", "Host: prism", f"Content-Length: {length}"]
    head += [f"{name}: {value}" for name, value in token(server).items()]
    with socket.create_connection((admin.host, admin.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", "x"]).encode())
        wait_until(lambda: staged(server))
        yield connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def staged(server: ServerProcess) -> list[Path]:
    return list((server.data_dir / "artifacts").iterdir())


def wait_until(holds) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it did not come to pass within ten seconds"
        time.sleep(0.01)


# --- listening ----------------------------------------------------------------------------


def test_port_zero_picks_a_free_one():
    with listen("127.0.0.1", 0, "--port") as listener:
        host, port = address_of(listener)

        assert host == "127.0.0.1"
        assert port > 0
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("host", "said"),
    [("no.such.host.invalid", "not an address"), ("192.0.2.1", "cannot listen"), ("a" * 70, "a")],
)
def test_a_host_that_is_not_this_machine(host, said):
    with pytest.raises(ConfigError) as refused:
        listen(host, 0, "--port")

    assert said in refused.value.message
    assert "--host" in refused.value.hint


def test_a_taken_port_is_an_error_with_the_next_step(tmp_path):
    with listen("127.0.0.1", 0, "--port") as taken:
        port = address_of(taken)[1]
        server = ServerProcess(tmp_path / "data", "--port", str(port))
        with pytest.raises(AssertionError):
            server.start()
        server.stop()

    said = server.log.read_text()
    assert f"Port {port}" in said
    assert "--port 0" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data" / "server.json").exists()


# --- starting and stopping ------------------------------------------------------------------


def test_a_server_says_where_it_is(make_server):
    server = make_server()

    assert json.loads((server.data_dir / "server.json").read_bytes()) == server.facts
    assert server.facts.keys() >= {"public", "admin", "data_dir", "pid", "version"}
    assert server.facts["pid"] == server.process.pid
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert httpx.get(f"{server.facts['admin']}/admin/v1/models").status_code == 401
    with admin_client(server) as client:
        assert client.get("/admin/v1/server").json() == server.facts


def test_a_server_that_moves_says_where_it_is(tmp_path):
    path = tmp_path / "server.json"
    facts = {"public": "http://10.1.2.3:8000", "grpc": "grpc://10.1.2.3:8081", "pid": 7}
    with _announced(path, facts, {"grpc": "grpc://0.0.0.0:8081"}) as move:
        move("http://10.9.8.7:8000")
        moved = {"public": "http://10.9.8.7:8000", "grpc": "grpc://10.9.8.7:8081"}
        assert json.loads(path.read_bytes()) == facts | moved

    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(make_server, number):
    server = make_server()
    with httpx.Client(base_url=server.url) as idle:
        idle.get("/health/live")
        server.process.send_signal(number)

        assert server.process.wait(10) == 0
    assert not (server.data_dir / "server.json").exists()
    assert "Traceback" not in server.log.read_text()


def test_the_admin_listener_is_on_the_loopback_only(make_server):
    server = make_server()
    listening = [
        connection.laddr
        for connection in psutil.Process(server.process.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert {address.port for address in listening} == {
        httpx.URL(server.url).port,
        httpx.URL(server.facts["admin"]).port,
    }
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_endless_answers_do_not_hold_up_the_end(make_server):
    server = make_server("limits: {drain_s: 20}")
    with admin_client(server) as client, client.stream("GET", "/admin/v1/events") as events:
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)

        assert events.read() == b""
        assert server.process.wait(10) == 0
    assert time.monotonic() - started < 5


def test_what_is_in_flight_is_answered_before_the_end(make_server):
    server = make_server("limits: {drain_s: 20}")
    with half_an_upload(server, length=10) as upload:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _accepts(server.url))

        upload.sendall(b"x" * 9)
        answer = read_all(upload)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"event":"error"' in answer
    assert server.process.wait(10) == 0


def test_what_takes_too_long_is_cut_and_leaves_nothing(make_server):
    server = make_server("limits: {drain_s: 0.3}")
    with half_an_upload(server, length=10) as upload:
        assert server.stop() == 0
        answer = read_all(upload)

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"The server is stopping." in answer
    assert staged(server) == []
    assert "Traceback" not in server.log.read_text()


def test_a_second_signal_does_not_wait(make_server):
    server = make_server("limits: {drain_s: 60}")
    with half_an_upload(server, length=10):
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: not _accepts(server.url))
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(10) == 0
    assert staged(server) == []
    assert '"level":"error"' not in server.log.read_text()


def _accepts(url: str) -> bool:
    try:
        httpx.get(f"{url}/health/live", timeout=5)
    except httpx.TransportError:
        return False
    return True


# --- limits -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server with small limits."""
    config = "limits: {max_artifact: 100000, max_body: 1000}"
    with ServerProcess(tmp_path_factory.mktemp("small") / "data", config=config) as server:
        yield server


@pytest.mark.parametrize("chunked", [False, True])
def test_an_artifact_that_is_too_large(small, chunked):
    content = iter([b"x" * 50_000] * 40) if chunked else b"x" * 2_000_000
    with admin_client(small) as client:
        answer = client.post("/admin/v1/upload", params=SPEC, content=content)

    assert (answer.status_code, answer.json()["code"]) == (413, "artifact_too_large")
    assert staged(small) == []


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(small):
    with half_an_upload(small, length=1000):
        pass

    wait_until(lambda: not staged(small))


def test_head_and_get_agree(small):
    head, get = httpx.head(f"{small.url}/health/live"), httpx.get(f"{small.url}/health/live")

    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
    assert "server" not in get.headers


def test_what_is_not_http_is_refused(small):
    host, port = small.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x00\x01\x02\r\n\r\n")

        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
