"""The local authority: made once, kept private, and good for local names only; openssl is the judge."""

from __future__ import annotations

import datetime
import subprocess
from ipaddress import ip_address

import attrs
import pytest

from prism_core.errors import ConfigError
from prism_core.rest.tls.authority import (
    LEAF_DAYS,
    RENEW_DAYS,
    Files,
    fingerprint,
    is_due,
    issue,
    open_authority,
)
from prism_core.rest.tls.names import Names

NAMES = Names(("laptop.local", "localhost"), (ip_address("127.0.0.1"), ip_address("192.168.0.14")))


@pytest.fixture
def files(tmp_path) -> Files:
    return Files.of(tmp_path)


@pytest.fixture
def authority(files):
    return open_authority(files, "laptop")


def verify(files: Files, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "verify", "-CAfile", str(files.ca), "-purpose", "sslserver", *options]
    return subprocess.run([*command, str(files.server)], capture_output=True, text=True, check=False)


def now(days: float = 0) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def test_it_is_made_once(files, authority):
    assert open_authority(files, "renamed").certificate == authority.certificate
    assert "laptop" in authority.permitted.hosts


def test_it_vouches_for_the_public_address_of_its_machine_and_for_no_other(files):
    authority = open_authority(files, "laptop", [ip_address("192.0.2.2")])
    issue(authority, Names(("localhost",), (ip_address("192.0.2.2"),)), files.server)
    assert verify(files, "-verify_ip", "192.0.2.2").returncode == 0

    issue(authority, Names(("localhost",), (ip_address("192.0.2.3"),)), files.server)
    assert verify(files).returncode != 0


def test_nobody_else_reads_a_key(files, authority):
    issue(authority, NAMES, files.server)

    assert files.ca.parent.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (files.ca_key, files.server)] == [0o600] * 2
    assert {path.name for path in files.ca.parent.iterdir()} == {"ca.pem", "ca.key", "server.pem"}


@pytest.mark.parametrize(
    "option",
    [("-verify_hostname", "localhost"), ("-verify_hostname", "laptop.local"), ("-verify_ip", "192.168.0.14")],
)
def test_openssl_believes_it(files, authority, option):
    issue(authority, NAMES, files.server)

    done = verify(files, *option)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "names",
    [
        Names(("example.com",), ()),
        Names(("localhost.example.com",), ()),
        Names((), (ip_address("8.8.8.8"),)),
        Names(("localhost",), (ip_address("2001:db8::1"),)),
    ],
)
def test_whoever_steals_its_key_can_imitate_nobody_on_the_internet(files, authority, names):
    issue(authority, names, files.server)

    done = verify(files)
    assert done.returncode != 0
    assert "permitted subtree violation" in done.stderr


def test_its_certificates_sign_no_others(files, authority, tmp_path):
    """A server's own certificate is no authority."""
    issue(authority, NAMES, files.server)
    text = subprocess.run(
        ["openssl", "x509", "-in", str(files.server), "-noout", "-text"], capture_output=True, text=True
    ).stdout

    assert "CA:FALSE" in text


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        (NAMES, 0, ""),
        (NAMES, LEAF_DAYS - RENEW_DAYS - 1, ""),
        (NAMES, LEAF_DAYS - RENEW_DAYS + 1, "it ends soon"),
        (attrs.evolve(NAMES, hosts=("localhost",)), 0, "have changed"),
        (attrs.evolve(NAMES, addresses=NAMES.addresses[:1]), 0, "have changed"),
    ],
)
def test_when_a_certificate_is_made_anew(files, authority, names, days, reason):
    issue(authority, NAMES, files.server)
    found = is_due(files.server, names, authority, now(days))

    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_no_certificate_is_made_anew(files, authority, content):
    if content is not None:
        files.server.write_bytes(content)

    assert is_due(files.server, NAMES, authority, now()) == "there is none"


def test_one_of_another_authority_is_made_anew(files, authority, tmp_path):
    other = Files.of(tmp_path / "other")
    (tmp_path / "other").mkdir()
    issue(open_authority(other, "laptop"), NAMES, files.server)

    assert is_due(files.server, NAMES, authority, now()) == "there is none"


@pytest.mark.parametrize("lost", ["ca.pem", "ca.key"])
@pytest.mark.parametrize("how", ["gone", "broken", "another"])
def test_half_an_authority_is_told_and_not_replaced(files, authority, tmp_path, lost, how):
    path = files.ca.with_name(lost)
    if how == "gone":
        path.unlink()
    elif how == "broken":
        path.write_bytes(b"nonsense")
    else:
        (tmp_path / "other").mkdir()
        other = Files.of(tmp_path / "other")
        open_authority(other, "laptop")
        path.write_bytes(other.ca.with_name(lost).read_bytes())
    with pytest.raises(ConfigError) as refused:
        open_authority(files, "laptop")

    assert "Restore ca.pem and ca.key" in refused.value.hint


def test_the_fingerprint_is_that_of_openssl(files, authority):
    told = subprocess.run(
        ["openssl", "x509", "-in", str(files.ca), "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
    ).stdout

    assert told.strip().partition("=")[2] == fingerprint(files.ca.read_bytes())
