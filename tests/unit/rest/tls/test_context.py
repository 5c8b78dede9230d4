"""Contexts of PEM files, and what is said about files that cannot be used."""

from __future__ import annotations

import ssl
import subprocess

import attrs
import pytest

from prism_core.errors import ConfigError
from prism_core.rest.tls.context import Pair, context_of
from prism_core.rest.tls.watching import check_admin_host, pair_of
from prism_core.settings import Settings, TlsSettings


def make(directory, name: str = "one") -> Pair:
    """Let openssl make a certificate and its key."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "3", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return Pair(cert, key)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pem")


@pytest.fixture(scope="module")
def pair(place) -> Pair:
    return make(place)


def test_what_is_spoken(pair):
    context = context_of(pair)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    old = [cipher for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old
    assert all(cipher["aead"] and cipher["kea"] == "kx-ecdhe" for cipher in old)


def test_certificate_and_key_may_be_one_file(pair, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pair.key.read_bytes() + pair.cert.read_bytes())

    assert context_of(Pair(both))


def test_clients_are_asked_for_certificates(pair):
    context = context_of(attrs.evolve(pair, client_ca=pair.cert))

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def encrypted(pair, place):
    key = place / "secret.key"
    command = ["openssl", "pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:x", "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return Pair(pair.cert, key)


def nonsense(pair, place):
    path = place / "nonsense.pem"
    path.write_text("nonsense")
    return Pair(path, pair.key)


def strangers(pair, place):
    path = place / "strangers.pem"
    path.write_text("nonsense")
    return attrs.evolve(pair, client_ca=path)


@pytest.mark.parametrize(
    ("wrong", "said", "hint"),
    [
        (encrypted, "is encrypted", "openssl pkey"),
        (lambda pair, place: Pair(pair.cert, make(place, "two").key), "does not belong", "--tls-key"),
        (lambda pair, place: Pair(place / "none.pem", pair.key), "No such file", "tls.cert"),
        (lambda pair, place: Pair(pair.cert, place / "none.key"), "No such file", "tls.key"),
        (lambda pair, place: Pair(pair.cert), "a certificate and its key", "--tls-key"),
        (nonsense, "TLS cannot use", "Both are PEM"),
        (strangers, "no certificates of an authority", "--tls-client-ca"),
        (lambda pair, place: Pair(place, pair.key), "Is a directory", "tls.cert"),
    ],
    ids=["encrypted", "mismatch", "no cert", "no key", "one file", "nonsense", "client ca", "directory"],
)
def test_files_that_cannot_be_used(pair, place, wrong, said, hint):
    with pytest.raises(ConfigError) as refused:
        context_of(wrong(pair, place))

    assert said in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (TlsSettings("self-signed", cert="a.pem"), "Give one of the two"),
        (TlsSettings(key="a.key"), "tls.cert"),
        (TlsSettings(client_ca="ca.pem"), "--tls self-signed"),
    ],
)
def test_settings_that_contradict_each_other(tls, said):
    with pytest.raises(ConfigError) as refused:
        pair_of(Settings(tls=tls))

    assert said in refused.value.hint + refused.value.message


@pytest.mark.parametrize("mode", ["off", False])
def test_no_tls(mode):
    assert pair_of(Settings(tls=TlsSettings(mode))) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_an_admin_listener_on_this_machine_needs_no_tls(host):
    check_admin_host(Settings(admin_host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.14", "laptop"])
def test_one_that_others_reach_does(host):
    check_admin_host(Settings(admin_host=host, tls=TlsSettings("self-signed")))
    with pytest.raises(ConfigError) as refused:
        check_admin_host(Settings(admin_host=host))

    assert "--tls self-signed" in refused.value.hint
