"""Where addresses are, by databases that are made here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from prism_core.errors import ConfigError
from prism_core.gateway.traffic.countries import open_countries


def write(path, networks):
    writer = MMDBWriter(6, "Test-Country", languages=["en"], ipv4_compatible=True)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture
def database(tmp_path):
    return write(
        tmp_path / "countries.mmdb",
        {
            "192.0.2.0/24": {"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "US"}},
            "198.51.100.0/24": {"registered_country": {"iso_code": "FR"}},
            "203.0.113.0/24": {"country_code": "AT"},
            "2001:db8::/32": {"country": "CH"},
            "2001:db9::/32": {"city": "nowhere"},
        },
    )


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("192.0.2.1", "DE"),
        ("::ffff:192.0.2.1", "DE"),
        ("198.51.100.9", "FR"),
        ("203.0.113.9", "AT"),
        ("2001:db8::1", "CH"),
        ("2001:db9::1", ""),
        ("10.0.0.1", ""),
        ("fe80::1%eth0", ""),
        ("", ""),
        ("somebody", ""),
        ("no:address", ""),
    ],
)
def test_where_an_address_is(database, address, country):
    assert open_countries(database)(address) == country


def test_a_newer_database_is_taken_and_a_broken_one_is_not(database, tmp_path):
    countries = open_countries(database)

    write(tmp_path / "new.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "NL"}}})
    (tmp_path / "new.mmdb").replace(database)
    countries.reopen()
    assert countries("192.0.2.1") == "NL"

    (tmp_path / "broken.mmdb").write_bytes(b"broken")
    (tmp_path / "broken.mmdb").replace(database)
    countries.reopen()
    assert countries("192.0.2.1") == "NL"


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_database_fails_no_request(database, seed):
    chance, path = random.Random(seed), Path(database)
    data = bytearray(path.read_bytes())
    for _ in range(8):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data)
    try:
        countries = open_countries(database)
    except ConfigError:
        return
    for address in ("192.0.2.1", "198.51.100.9", "2001:db8::1", "10.0.0.1"):
        assert isinstance(countries(address), str)


def test_without_a_database_nothing_is_known(tmp_path):
    assert open_countries("")("192.0.2.1") == ""


def test_what_is_no_database_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="geo_database"):
        open_countries(str(tmp_path / "missing.mmdb"))
    (tmp_path / "text.mmdb").write_text("DE")
    with pytest.raises(ConfigError, match="geo_database"):
        open_countries(str(tmp_path / "text.mmdb"))
