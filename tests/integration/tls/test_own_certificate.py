"""``--tls-cert`` and ``--tls-key``: renewed while connections are open; clients that must show one too."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest

from prism_core.testing.server import ServerProcess

from .conftest import make_certificate, openssl, shake_hands, trusting

LIVE = b"GET /health/live HTTP/1.1\r\nHost: prism\r\n\r\n"


@pytest.fixture
def place(tmp_path) -> Path:
    make_certificate(tmp_path / "cert.pem", tmp_path / "cert.key")
    return tmp_path


def flags(place: Path, *more: str) -> list[str]:
    return ["--tls-cert", str(place / "cert.pem"), "--tls-key", str(place / "cert.key"), *more]


def live(connection: ssl.SSLSocket) -> bool:
    connection.sendall(LIVE)
    return b'"live"' in connection.recv(4096)


def serial(server: ServerProcess) -> str:
    """Return the serial number of the certificate that a new connection sees, whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with shake_hands(server, context) as connection:
        return str(hash(connection.getpeercert(binary_form=True)))


def wait_until(holds) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come to pass within twenty seconds"
        time.sleep(0.1)


@pytest.mark.parametrize("gateways", [pytest.param("1", marks=pytest.mark.sweep), "2"])
def test_a_renewed_certificate_is_for_new_connections_and_ends_no_old_one(place, gateways):
    with (
        ServerProcess(place / "data", *flags(place, "--gateways", gateways)) as server,
        shake_hands(server, trusting(place / "cert.pem")) as old,
    ):
        assert live(old)
        before = serial(server)
        make_certificate(place / "new.pem", place / "new.key")
        os.replace(place / "new.key", place / "cert.key")
        os.replace(place / "new.pem", place / "cert.pem")
        wait_until(lambda: all(serial(server) != before for _ in range(8)))

        assert live(old)
        with shake_hands(server, trusting(place / "cert.pem")) as new:
            assert live(new)
    assert "Traceback" not in server.log.read_text()


def test_a_broken_file_changes_nothing_but_the_log(place):
    with ServerProcess(place / "data", *flags(place)) as server:
        before = serial(server)
        good = (place / "cert.pem").read_bytes()
        (place / "cert.pem").write_bytes(b"nonsense")
        wait_until(lambda: "tls.not_loaded" in server.log.read_text())
        assert serial(server) == before
        make_certificate(place / "other.pem", place / "other.key")
        os.replace(place / "other.pem", place / "cert.pem")
        wait_until(lambda: "does not belong" in server.log.read_text())
        assert serial(server) == before
        (place / "cert.pem").unlink()
        time.sleep(0.1)
        (place / "cert.pem").write_bytes(good)
        with shake_hands(server, trusting(place / "cert.pem")) as connection:
            assert live(connection)


@pytest.mark.sweep
def test_a_renewed_link_to_another_file_is_seen(place):
    """As certbot renews: the link stays, what it leads to changes."""
    for name in ("cert.pem", "cert.key"):
        (place / name).rename(place / f"1-{name}")
        (place / name).symlink_to(f"1-{name}")
    config = f"tls: {{cert: {place / 'cert.pem'}, key: {place / 'cert.key'}}}"
    with ServerProcess(place / "data", config=config) as server:
        before = serial(server)
        make_certificate(place / "2-cert.pem", place / "2-cert.key")
        for name in ("cert.key", "cert.pem"):
            (place / "link").symlink_to(f"2-{name}")
            os.replace(place / "link", place / name)
        wait_until(lambda: serial(server) != before)


def test_the_command_line_reaches_an_admin_listener_whose_certificate_has_another_name(place):
    make_certificate(place / "cert.pem", place / "cert.key", "models.example.org")
    with ServerProcess(place / "data", *flags(place, "--admin-host", "0.0.0.0")) as server:
        assert server.facts["admin"].startswith("https://")
        assert server.json("list") == []
        elsewhere = server.run("list", "--server", server.facts["admin"], "--token", "x", check=False)

    assert elsewhere.returncode == 1
    assert "is not trusted" in elsewhere.stderr


def test_clients_must_show_a_certificate_where_that_is_asked(place):
    make_certificate(place / "clients.pem", place / "clients.key", "clients")
    signed = ("-CA", place / "clients.pem", "-CAkey", place / "clients.key")
    make_certificate(place / "ann.pem", place / "ann.key", "ann", *signed)
    make_certificate(place / "eve.pem", place / "eve.key", "eve")
    with ServerProcess(
        place / "data", *flags(place, "--tls-client-ca", str(place / "clients.pem"))
    ) as server:

        def answered(name: str) -> bool:
            context = trusting(place / "cert.pem")
            if name:
                context.load_cert_chain(place / f"{name}.pem", place / f"{name}.key")
            try:
                with shake_hands(server, context) as connection:
                    return live(connection)
            except (ssl.SSLError, ConnectionError):
                return False

        assert [answered(name) for name in ("ann", "eve", "")] == [True, False, False]
        assert server.json("list") == [], "the owner needs none"


def test_an_encrypted_key_is_told_before_a_port_is_open(place):
    secret = place / "secret.key"
    openssl("pkey", "-in", place / "cert.key", "-aes256", "-passout", "pass:x", "-out", secret)
    server = ServerProcess(place / "data", "--tls-cert", str(place / "cert.pem"), "--tls-key", str(secret))
    with pytest.raises(AssertionError):
        server.start()
    server.stop()

    assert "is encrypted" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert not (place / "data").exists()
