"""Who asks is told by whom we trust, and by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.callers.addresses import REMEMBERED, Proxies, address_of, network_of, subject_of

PROXY, INNER, CALLER, LIAR = "10.0.0.1", "10.0.0.2", "203.0.113.7", "6.6.6.6"


def by_list(said: str, peer: str = PROXY, trusted: tuple[str, ...] = ("10.0.0.0/8",)) -> str:
    return Proxies(trusted).of(peer, {"x-forwarded-for": said})


def by_element(said: str, peer: str = PROXY, trusted: tuple[str, ...] = ("10.0.0.0/8",)) -> str:
    return Proxies(trusted, "forwarded").of(peer, {"forwarded": said})


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        (CALLER, CALLER),
        (f"{LIAR}, {CALLER}", CALLER),  # the client's own header comes first
        (f"{LIAR},{CALLER},{INNER}", CALLER),  # two proxies
        (f"{INNER}, {CALLER}", CALLER),
        (INNER, INNER),  # a caller from inside
        (f"{CALLER}:4711", CALLER),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", CALLER),
        (f"{LIAR}, ::ffff:10.0.0.2", INNER + "x"),
        ("", PROXY),
        ("unknown", PROXY),
        (f"{LIAR}, _hidden", PROXY),
        (f"{LIAR}, , {INNER}", INNER),
        (f"{LIAR}, nonsense, {INNER}", INNER),
        (f"{CALLER},", PROXY),
        (f"{CALLER}:port", PROXY),
        (f"[{CALLER}]", PROXY),
        ("[2001:db8::7", PROXY),
        ("[2001:db8::7]x", PROXY),
        (f"{CALLER} {LIAR}", PROXY),
        ("203.0.113.007", PROXY),  # some read it as octal
        ("3405803783", PROXY),
    ],
)
def test_the_list_is_walked_from_its_end(said, caller):
    assert by_list(said) == caller.replace(INNER + "x", LIAR)


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        (f"for={CALLER}", CALLER),
        (f"For={CALLER};proto=https;by=10.0.0.9", CALLER),
        (f'for="{CALLER}:4711"', CALLER),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        ("for=[2001:db8::7]", "2001:db8::7"),  # not well formed, but written
        (f"for={LIAR}, for={CALLER}", CALLER),
        (f"for={LIAR},for={CALLER};by=_x, for={INNER}", CALLER),
        (f'for={CALLER};host="a,b"', CALLER),
        (f'for={CALLER};host="a, for={LIAR}"', CALLER),
        (f'for={CALLER};host="a, for=\\"{LIAR}\\""', CALLER),
        (f'for="{LIAR}, for={CALLER}', CALLER),  # an open quote before what the proxy appended
        (f'for={LIAR};x=", for={CALLER}', CALLER),
        (f"nonsense, for={CALLER}", CALLER),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        (f"for={LIAR}, proto=http", PROXY),
        (f"for={LIAR}, for=unknown, for={INNER}", INNER),
        (f"for={LIAR};for={CALLER}", PROXY),
        (f"for={LIAR}, nonsense", PROXY),
        ("", PROXY),
        (f"for = {CALLER}", PROXY),
    ],
)
def test_the_standard_header_is_walked_from_its_end(said, caller):
    assert by_element(said) == caller


@pytest.mark.parametrize("peer", [LIAR, "2001:db8::1", "", "nonsense"])
@pytest.mark.parametrize("said", [CALLER, f"{CALLER}, {INNER}"])
def test_nobody_else_is_believed(peer, said):
    assert by_list(said, peer) == peer
    assert by_list(said, peer, ()) == peer


def test_only_the_header_that_the_proxy_writes_is_read():
    both = {"x-forwarded-for": CALLER, "forwarded": f"for={LIAR}"}

    assert Proxies(["10.0.0.0/8"]).of(PROXY, both) == CALLER
    assert Proxies(["10.0.0.0/8"], "forwarded").of(PROXY, both) == LIAR
    assert Proxies(["10.0.0.0/8"]).of(PROXY, {"forwarded": f"for={LIAR}"}) == PROXY


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("::1", "::1"),
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("::ffff:10.0.0.0/104", PROXY),
        ("fd00::/8", "fd12::3"),
    ],
)
def test_who_may_be_trusted(trusted, peer):
    assert by_list(CALLER, peer, (trusted,)) == CALLER


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "proxy.example.org", "", "10.0.0.0/33", "10.0.0"])
def test_a_network_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="expected an address"):
        network_of(wrong)


@given(st.text(alphabet='0123456789abcdef.:[]%, ";=_for\\', max_size=60))
def test_what_a_client_writes_first_changes_nothing(before):
    """The proxy appends, whatever is there: that is the caller."""
    assert by_list(f"{before}, {CALLER}") == CALLER
    assert by_element(f"{before}, for={CALLER}") == CALLER
    assert by_element(f'{before}, for="{CALLER}:80";host="a,b"') == CALLER


@given(st.text(max_size=40))
def test_any_text_gives_an_address_or_nothing(text):
    found = address_of(text)

    assert found is None or address_of(str(found)) == found
    assert by_list(text) in (PROXY, str(found)) or "," in text


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        (CALLER, CALLER),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", CALLER),
        ("", ""),
    ],
)
def test_an_ipv6_caller_is_counted_by_its_network(address, subject):
    assert subject_of(address) == subject


def test_what_is_remembered_is_bounded():
    proxies = Proxies(["10.0.0.0/8"])

    for number in range(REMEMBERED + 10):
        proxies.of(PROXY, {"x-forwarded-for": f"1.2.{number >> 8}.{number & 255}"})

    assert len(proxies._known) <= REMEMBERED
