"""When the keys of an identity provider are fetched, and what is known while it is down."""

from __future__ import annotations

import asyncio
import sys

import pytest
from joserfc.jwk import KeySet, OctKey

from prism_core.errors import ConfigError, IdentityUnavailable, Unauthorized
from prism_core.gateway.callers.provider import (
    COOL_DOWN_S,
    MOST_PAUSE_S,
    REFRESH_S,
    ProviderKeys,
    check_url,
    keys_of,
)
from prism_core.gateway.callers.tokens import open_tokens
from prism_core.settings import OidcSettings
from tests.unit.gateway.callers.conftest import EC, OTHER, RSA

PUBLISHED = KeySet([RSA, EC]).as_dict(private=False)


@pytest.fixture
def unfetched(issuer):
    return ProviderKeys(issuer.fetch, issuer.clock)


def outcome(provider, key_id):
    try:
        return provider.find(key_id).kid
    except (Unauthorized, IdentityUnavailable) as error:
        return error.status


async def test_a_known_key_is_found_and_nothing_is_fetched(provider, issuer):
    assert [outcome(provider, kid) for kid in ("rsa", "ec")] == ["rsa", "ec"]
    assert issuer.fetches == 1


async def test_a_new_key_is_fetched_when_it_is_first_shown(provider, issuer):
    issuer.keys.append(OTHER)
    issuer.now += COOL_DOWN_S
    task = asyncio.create_task(provider.run())
    assert outcome(provider, "other") == 503
    while issuer.fetches < 2:
        await asyncio.sleep(0)

    assert outcome(provider, "other") == "other"
    task.cancel()


async def test_made_up_key_ids_cause_one_fetch_in_a_while(provider, issuer):
    task = asyncio.create_task(provider.run())
    for second in range(100):
        issuer.now += 1
        for number in range(20):
            assert outcome(provider, f"made-up-{second}-{number}") in (401, 503)
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    assert issuer.fetches <= 1 + 100 / COOL_DOWN_S
    task.cancel()


async def test_a_key_that_a_new_answer_lacks_is_refused(provider, issuer):
    issuer.now += COOL_DOWN_S - 1

    assert outcome(provider, "made-up") == 401


async def test_what_is_known_stays_while_the_provider_is_down(provider, issuer):
    issuer.down = True
    issuer.now += REFRESH_S
    await provider.refresh()

    assert outcome(provider, "rsa") == "rsa"
    assert outcome(provider, "other") == 503  # nobody can tell


async def test_before_the_first_answer_nobody_can_tell(unfetched, issuer):
    assert outcome(unfetched, "rsa") == 503
    issuer.down = True
    await unfetched.refresh()
    assert outcome(unfetched, "rsa") == 503
    issuer.down = False
    await unfetched.refresh()

    assert outcome(unfetched, "rsa") == "rsa"


async def test_after_failures_it_is_asked_again_later_and_later(unfetched, issuer):
    issuer.down = True
    pauses = []
    for _ in range(8):
        await unfetched.refresh()
        pauses.append(unfetched.pause_s())
    issuer.down = False
    await unfetched.refresh()

    assert pauses == [2, 4, 8, 16, 32, MOST_PAUSE_S, MOST_PAUSE_S, MOST_PAUSE_S]
    assert unfetched.pause_s() == REFRESH_S


async def test_only_a_withdrawn_key_is_told_of(provider, issuer):
    told = []
    provider.withdrawn = lambda: told.append(1)
    issuer.keys.append(OTHER)
    await provider.refresh()
    assert told == []
    issuer.keys.remove(RSA)
    await provider.refresh()

    assert told == [1]


def test_what_a_provider_publishes_beside_keys_that_sign_is_left_out():
    odd = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "ML-DSA", "kid": "new"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken"},
        {"kty": "EC", "crv": "P-256", "kid": "half"},
        PUBLISHED["keys"][0] | {"use": "enc", "kid": "to-encrypt"},
        "text",
        None,
    ]

    assert set(keys_of({"keys": [*odd, *PUBLISHED["keys"]]})) == {"rsa", "ec"}


@pytest.mark.parametrize("document", [{}, {"keys": []}, {"keys": [OctKey.generate_key(256).as_dict()]}])
def test_a_set_without_keys_that_sign_is_no_answer(document):
    with pytest.raises(ValueError, match="publishes no key"):
        keys_of(document)


TRUSTED = ["https://id.test", "http://127.0.0.1:9", "http://localhost/a", "http://[::1]:9", ""]


@pytest.mark.parametrize("url", TRUSTED)
def test_addresses_that_can_be_trusted(url):
    check_url(url, "oidc.issuer")


@pytest.mark.parametrize(
    "url", ["http://id.test", "ftp://id.test", "id.test", "http://localhost.evil.test", "file:///etc/passwd"]
)
def test_addresses_that_cannot(url):
    with pytest.raises(ConfigError, match="over https only"):
        check_url(url, "oidc.issuer")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (OidcSettings(), "oidc.issuer and oidc.audience"),
        (OidcSettings("https://id.test"), "oidc.audience"),
        (OidcSettings(audience=("prism",)), "oidc.issuer"),
    ],
)
async def test_what_must_be_set(settings, named):
    with pytest.raises(ConfigError, match=f"needs {named}."):
        async with open_tokens(settings):
            pass


async def test_without_the_library_the_start_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigError, match="needs the package joserfc") as told:
        async with open_tokens(OidcSettings("https://id.test", ("prism",))):
            pass

    assert "[server,oidc]" in told.value.hint


async def test_a_fetch_that_never_ends_is_begun_again_soon(unfetched, issuer):
    async def hang():
        await asyncio.Event().wait()

    unfetched._fetch = hang
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(unfetched.refresh(), 0.001)

    assert unfetched.pause_s() < REFRESH_S


async def test_it_ends_when_a_key_is_wanted_at_the_same_moment(provider, issuer):
    task = asyncio.create_task(provider.run())
    for _ in range(5):
        await asyncio.sleep(0)
    issuer.now += COOL_DOWN_S
    assert outcome(provider, "other") == 503
    await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=10)

    assert ended
