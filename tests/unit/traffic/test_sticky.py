"""What of a request keeps it with one share."""

from __future__ import annotations

import attrs
import pytest

from prism_core.traffic.sticky import key_of


@attrs.frozen
class Asks:
    """Who sent a request."""

    headers: dict[str, str] = attrs.field(factory=dict)
    address: str = ""
    caller: str = ""


def key(sticky: str, sender: Asks) -> bytes:
    find = key_of(sticky)
    assert find is not None
    return find(sender)


def test_nothing_is_sticky_by_itself():
    assert key_of("") is None


def test_a_header_of_whatever_case():
    asks = Asks({"x-user-id": "ann"})

    assert key("header:X-User-ID", asks) == b"ann"
    assert key("header:x-user", asks) == b""


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("uid=ann", b"ann"),
        ("other=1; uid=ann; more=2", b"ann"),
        ('a=b;uid="ann"', b"ann"),
        ("uid=a=b", b"a=b"),
        ("uid=1; uid=2", b"1"),
        ("UID=ann", b""),  # names of cookies have a case
        ("uid", b""),
        ("xuid=ann", b""),
        ("", b""),
        (";;=; =", b""),
        ('uid="', b'"'),
    ],
)
def test_a_cookie(sent, value):
    assert key("cookie:uid", Asks({"cookie": sent})) == value


def test_a_key_or_link():
    assert key("key", Asks(caller="key:7")) == b"key:7"
    assert key("key", Asks()) == b""


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:1:2:3", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:DB8:1:2::1", "2001:db8:1:2::2", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("who:knows", "who:else", False),  # a proxy's name for a client
        ("::1", "2001:db8::1", False),
    ],
)
def test_the_addresses_of_one_household_stay_together(one, other, together):
    found = [key("address", Asks(address=address)) for address in (one, other)]

    assert (found[0] == found[1]) is together
    assert all(found)


@pytest.mark.parametrize(
    "sticky",
    ["header:", "cookies", "cookie:a b", "header:x\ny", "key:1", "address:", "user", ":", "Header:x"],
)
def test_what_is_no_sticky_key_is_refused_with_what_is(sticky):
    with pytest.raises(
        ValueError, match="is no sticky key: header:NAME, cookie:NAME, cookie, key or address"
    ):
        key_of(sticky)
