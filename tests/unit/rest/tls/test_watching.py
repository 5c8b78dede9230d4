"""A certificate follows this machine's addresses, and new connections follow the certificate."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

import pytest

from prism_core.rest.tls import watching
from prism_core.rest.tls.authority import Files
from prism_core.rest.tls.watching import Certificates, pair_of, renew
from prism_core.settings import Settings, TlsSettings


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path, tls=TlsSettings("self-signed"))


@pytest.fixture
def machine(monkeypatch):
    """Let this machine have other addresses."""

    def has(*addresses: str) -> None:
        found = tuple(map(ip_address, addresses))
        monkeypatch.setattr(watching, "found_here", lambda: ("laptop", found))

    return has


def test_a_certificate_is_made_anew_when_the_addresses_change_and_only_then(settings, machine):
    files = Files.of(settings.data_dir)
    seen = []
    for addresses in (["192.168.0.14"], ["192.168.0.14"], ["192.168.0.15"], ["192.168.0.15", "10.0.0.3"]):
        machine(*addresses)
        renew(settings)
        seen.append(files.server.read_bytes())

    assert [one == two for one, two in pairwise(seen)] == [True, False, False]


def test_an_authority_outlives_its_certificates(settings, machine):
    files = Files.of(settings.data_dir)
    machine("192.168.0.14")
    renew(settings)
    before = files.ca.read_bytes()
    machine("192.168.0.15")
    renew(settings)

    assert files.ca.read_bytes() == before


def test_new_connections_get_the_new_certificate_and_a_broken_one_is_not_taken(settings, machine):
    machine("192.168.0.14")
    renew(settings)
    pair = pair_of(settings)
    assert pair is not None
    found = Certificates(pair, ours=True)
    first = found.public
    found.look()
    assert found.public is first, "nothing has changed"

    machine("192.168.0.15")
    renew(settings)
    found.look()
    second = found.public
    assert second is not first
    pair.cert.write_text("nonsense")
    found.look()
    assert found.public is second
    pair.cert.unlink()
    found.look()
    assert found.public is second
    renew(settings)
    found.look()
    assert found.public is not second


def test_the_owner_needs_no_certificate_where_callers_do(settings, machine, tmp_path):
    machine("192.168.0.14")
    renew(settings)
    asking = Settings(
        data_dir=tmp_path, tls=TlsSettings("self-signed", client_ca=str(tmp_path / "tls/ca.pem"))
    )
    pair = pair_of(asking)
    assert pair is not None
    found = Certificates(pair, ours=True)

    assert (found.public.verify_mode.name, found.admin.verify_mode.name) == ("CERT_REQUIRED", "CERT_NONE")
