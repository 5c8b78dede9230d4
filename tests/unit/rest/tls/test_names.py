"""Which names and addresses a certificate of the local authority has in it."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.tls.names import NETWORKS, found_here, is_below, local_names, permitted_here

LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


@pytest.mark.parametrize(
    ("hostname", "hosts", "outside"),
    [
        ("Laptop", ("laptop", "laptop.local", "localhost"), ()),
        ("laptop.lan", ("laptop", "laptop.lan", "laptop.local", "localhost"), ()),
        ("laptop.example.org", ("laptop", "laptop.local", "localhost"), ("laptop.example.org",)),
        ("localhost", ("localhost", "localhost.local"), ()),
        ("my_laptop", ("localhost",), ()),
        ("", ("localhost",), ()),
    ],
)
def test_host_names(hostname, hosts, outside):
    names = local_names(hostname, (), permitted_here(hostname, ()))

    assert (names.hosts, names.outside) == (hosts, outside)
    assert names.addresses == LOOPBACK


def test_a_name_that_is_announced_is_vouched_for():
    names = local_names("laptop", (), permitted_here("laptop", ()), "prism")

    assert names.hosts == ("laptop", "laptop.local", "localhost", "prism.local")


def test_a_machine_that_was_renamed_is_vouched_for_by_what_the_authority_may():
    names = local_names("desk", (), permitted_here("laptop", ()))

    assert names.hosts == ("desk.local", "localhost")
    assert names.outside == ("desk",)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("192.168.0.14", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("100.100.1.1", True),
        ("8.8.8.8", False),
        ("fd00::1", True),
        ("2001:db8::1", False),
    ],
)
def test_addresses(address, private):
    names = local_names("laptop", [ip_address(address)], permitted_here("laptop", ()))

    assert (ip_address(address) in names.addresses) == private
    assert names.outside == (() if private else (address,))


@given(
    st.text("abc-.", max_size=12),
    st.lists(st.ip_addresses(), max_size=4),
)
def test_nothing_is_in_a_certificate_that_its_authority_may_not_vouch_for(hostname, addresses):
    permitted = permitted_here("laptop", ())
    names = local_names(hostname, addresses, permitted)

    assert all(is_below(host, permitted.hosts) for host in names.hosts)
    assert all(any(one in network for network in NETWORKS) for one in names.addresses)


def test_an_address_that_the_machine_had_at_first_is_vouched_for_though_it_is_public():
    public, other = ip_address("192.0.2.2"), ip_address("192.0.2.3")
    names = local_names("laptop", [public, other], permitted_here("laptop", [public]))

    assert public in names.addresses
    assert names.outside == (str(other),)


def test_this_machine_has_addresses():
    _, addresses = found_here()

    assert ipaddress.ip_address("127.0.0.1") in addresses
