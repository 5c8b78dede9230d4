"""``--tls self-signed``, with two gateways and the admin listener on all interfaces."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from prism_core.testing.server import ServerProcess

from .conftest import address, shake_hands, trusting

APP = "https://app.example"
CONFIG = f"""
limits: {{max_body: 64MB, head_s: 1, write_s: 0.5}}
cors: [{APP}]
"""
ROWS = [[1, 1], [2, 2]]


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    data = tmp_path_factory.mktemp("tls") / "data"
    flags = ("--tls", "self-signed", "--gateways", "2", "--admin-host", "0.0.0.0")
    with ServerProcess(data, *flags, config=CONFIG) as server:
        server.upload(model)
        yield server


@pytest.fixture(scope="module")
def ca(server) -> Path:
    return Path(server.facts["tls"]["ca"])


def test_links_and_addresses_are_https(server):
    assert server.url.startswith("https://")
    assert server.facts["admin"].startswith("https://127.0.0.1:")
    assert server.json("show", "line")["url"] == f"{server.url}/model/line/predict"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_curl_believes_it_with_the_authority_and_not_without(server, ca, host):
    url = f"https://{host}:{address(server)[1]}/health/live"
    known = subprocess.run(["curl", "-sS", "--cacert", ca, url], capture_output=True, text=True)
    unknown = subprocess.run(["curl", "-sS", url], capture_output=True, text=True)

    assert json.loads(known.stdout) == {"status": "live"}
    assert (unknown.returncode, unknown.stdout) == (60, "")


def test_the_command_line_finds_its_way(server):
    assert server.json("predict", "line", "--input", "[[1,1]]")["predictions"] == pytest.approx([5])
    said = server.run("list").stdout
    assert server.url in said


def test_trust_tells_what_openssl_tells(server, ca):
    told = server.json("trust")
    command = ["openssl", "x509", "-in", str(ca), "-noout", "-fingerprint", "-sha256"]
    seen = subprocess.run(command, capture_output=True, text=True).stdout.strip().partition("=")[2]

    assert told == {"path": str(ca), "sha256": seen, "pem": ca.read_text()}
    said = server.run("trust").stdout
    for system in ("Debian", "macOS", "Windows", "Firefox", "iOS", "Android", f"{ca} {server.url}", seen):
        assert system in said


def test_a_link_of_somebody_else_is_believed_with_ca(server, ca, tmp_path):
    """Another account has no data directory of this server, but may have been given its authority."""
    other = ServerProcess(tmp_path / "nobody")
    link = f"{server.url}/model/line/predict"
    refused = other.run("predict", link, "--input", "[[1,1]]", check=False)
    answered = other.json("predict", link, "--input", "[[1,1]]", "--ca", str(ca))

    assert refused.returncode == 1
    assert "is not trusted" in refused.stderr
    assert "--ca" in refused.stderr
    assert answered["predictions"] == pytest.approx([5])


def test_each_gateway_speaks_it(server, ca):
    """Connections are spread over both processes by the kernel."""
    processes = psutil.Process(server.process.pid)
    followers = [p for p in processes.children() if "prism_core.rest.follow" in p.cmdline()]
    seen = set()
    for _ in range(60):
        with httpx.Client(base_url=server.url, verify=trusting(ca)) as client:
            page = {"Origin": APP}
            predicted = client.post("/model/line/predict", json={"input": ROWS}, headers=page)
            found = client.get("/model/line", headers=page)
            assert (predicted.status_code, found.json()["ready"]) == (200, True)
            for answer in (predicted, found):  # each said once, whoever answers
                assert answer.headers.get_list("access-control-allow-origin") == [APP]
                assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
            seen |= {p.pid for p in (processes, *followers) if holds(p, client)}
        if len(seen) == 2:
            break

    assert seen == {server.process.pid, followers[0].pid}


def holds(process: psutil.Process, client: httpx.Client) -> bool:
    ours = client.get("/health/live").extensions["network_stream"].get_extra_info("client_addr")[1]
    return any(one.raddr and one.raddr.port == ours for one in process.net_connections("tcp"))


@pytest.mark.parametrize("count", [1, 30_000, 200_000], ids=["small", "large", "very large"])
def test_bodies_of_all_sizes_come_through_whole(server, ca, count):
    """Large ones are received into their own memory, and by other hands on an encrypted transport."""
    rows = [[float(n % 97), float(n % 89)] for n in range(count)]
    with httpx.Client(base_url=server.url, verify=trusting(ca), timeout=60) as client:
        for _ in range(2):
            found = client.post("/model/line/predict", json={"input": rows}).json()["predictions"]
            assert len(found) == count
            assert found[-1] == pytest.approx(2 * rows[-1][0] + 3 * rows[-1][1])


def test_old_versions_are_not_spoken(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(server, context)


def test_who_does_not_shake_hands_is_let_go(server):
    with closing(socket.create_connection(address(server), timeout=10)) as silent:
        assert silent.recv(1) == b""


def test_http_on_the_port_of_https_is_no_answer_and_no_line_in_the_log(server):
    before = server.log.read_text()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(server.url.replace("https", "http") + "/health/live")

    assert server.log.read_text() == before


def test_a_client_that_never_reads_is_cut(server, ca):
    body = json.dumps({"input": [[1.5, 1.5]] * 300_000}).encode()
    head = f"POST /model/line/predict HTTP/1.1\r\nHost: prism\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with closing(socket.socket()) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(30)
        plain.connect(address(server))
        with trusting(ca).wrap_socket(plain, server_hostname="localhost") as connection:
            sending = threading.Thread(target=send_and_never_read, args=(connection, head + body))
            sending.start()
            sending.join(30)
            assert not sending.is_alive()


def send_and_never_read(connection: ssl.SSLSocket, request: bytes) -> None:
    try:
        for _ in range(20):
            connection.sendall(request)
    except OSError:
        pass


@pytest.mark.sweep
def test_the_next_start_takes_the_same_authority_and_a_new_certificate_where_that_is_due(tmp_path):
    """Whoever trusted it once need not do so again."""
    serials = []
    for spoil in (False, True):
        with ServerProcess(tmp_path / "data", "--tls", "self-signed") as server:
            ca = Path(server.facts["tls"]["ca"])
            with shake_hands(server, trusting(ca)) as connection:
                serials.append((ca.read_text(), connection.getpeercert()["serialNumber"]))
        if not spoil:
            Path(server.facts["tls"]["cert"]).write_text("nonsense")

    assert serials[0][0] == serials[1][0]
    assert serials[0][1] != serials[1][1]


def test_an_admin_listener_for_others_is_refused_without_tls(tmp_path):
    server = ServerProcess(tmp_path / "data", "--admin-host", "0.0.0.0")
    with pytest.raises(AssertionError):
        server.start()
    server.stop()

    said = server.log.read_text()
    assert "there is no TLS" in said
    assert "--tls self-signed" in said
    assert not (tmp_path / "data").exists(), "nothing was opened"
