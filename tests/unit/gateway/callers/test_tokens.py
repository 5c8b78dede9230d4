"""Which tokens are believed. Every refusal here is an attack that has worked somewhere."""

from __future__ import annotations

import hmac
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from prism_core.errors import Unauthorized
from prism_core.gateway.callers import tokens as module
from prism_core.gateway.callers.tokens import MAX_TOKEN, TokenIdentity
from prism_core.settings import OidcSettings
from tests.unit.gateway.callers.conftest import AUDIENCE, EC, ISSUER, NOW, OTHER, RSA, plain


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def refusal(identity, token) -> str:
    with pytest.raises(Unauthorized) as refused:
        identity.of(bearer(token))
    assert len(token) < 20 or token not in refused.value.message
    return refused.value.message


# --- believed -------------------------------------------------------------------------------


GOOD = {
    "RSA": {},
    "EC": {"key": EC},
    "several audiences": {"aud": ["other", AUDIENCE]},
    "the second audience": {"aud": "api"},
    "an access token": {"header": {"typ": "at+jwt"}},
    "no type": {"header": {"typ": None}},
    "a field of the provider's own": {"header": {"pi.atm": "1"}},
    "a clock that is behind": {"nbf": NOW + 29, "iat": NOW + 29},
    "a clock that is ahead": {"exp": NOW - 29},
    "parts of a second": {"exp": NOW + 0.5},
}


@pytest.mark.parametrize("how", GOOD)
def test_a_good_token_is_believed(identity, issuer, how):
    assert identity.of(bearer(issuer.token(**GOOD[how]))).id == "oidc:ann"


def test_a_token_without_a_key_id_is_checked_with_the_only_key(identity, issuer, provider):
    token = issuer.token(header={"kid": None})
    assert refusal(identity, token)
    provider.keys = {"rsa": provider.keys["rsa"]}

    assert identity.of(bearer(token)).id == "oidc:ann"


# --- refused --------------------------------------------------------------------------------

BAD = {
    "another issuer": {"iss": "https://evil.test"},
    "an issuer that begins alike": {"iss": f"{ISSUER}.evil.test"},
    "issuers": {"iss": [ISSUER]},
    "no issuer": {"iss": None},
    "another audience": {"aud": "mail"},
    "an audience that begins alike": {"aud": "prismatic"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "an audience that is none": {"aud": {"prism": 1}},
    "expired": {"exp": NOW - 31},
    "no end": {"exp": None},
    "an end that is a text": {"exp": "9999999999"},
    "an end that is true": {"exp": True},
    "an end that is no number": {"exp": float("nan")},
    "an end that never comes": {"exp": float("inf")},
    "not valid yet": {"nbf": NOW + 3600},
    "from the future": {"iat": NOW + 3600},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 1},
    "a subject of two lines": {"sub": "ann\nroot"},
    "a subject without end": {"sub": "a" * 256},
    "an algorithm that is not allowed": {"alg": "RS512"},
    "a signature of PSS": {"alg": "PS256"},
    "a token for a logout": {"header": {"typ": "logout+jwt"}},
    "a type that is none": {"header": {"typ": "x"}},
    "a stranger's key under a known id": {"key": OTHER, "header": {"kid": "rsa"}},
    "another kind of key under a known id": {"key": EC, "header": {"kid": "rsa"}},
    "an unknown key": {"key": OTHER},
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_token_is_refused(identity, issuer, how):
    assert refusal(identity, issuer.token(**BAD[how]))
    assert not identity._known


def test_a_token_without_a_signature_is_refused(identity, issuer):
    claims = plain(issuer.claims())
    for alg in ("none", "None", "NONE", "nOnE", ""):
        for kid in ({}, {"kid": "rsa"}):
            for signature in ("", "x", issuer.token().rpartition(".")[2]):
                assert refusal(identity, f"{plain({'alg': alg, **kid})}.{claims}.{signature}")


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
def test_the_public_key_is_no_secret_to_sign_with(identity, issuer, alg):
    """The oldest trick: what is published is used as the shared secret of an HMAC."""
    signed = f"{plain({'alg': alg, 'kid': 'rsa'})}.{plain(issuer.claims())}"
    for secret in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        signature = hmac.digest(secret, signed.encode(), f"sha{alg[2:]}")

        assert refusal(identity, f"{signed}.{plain(signature)}")


def test_a_header_that_brings_its_own_key_is_not_asked(identity, issuer):
    own = OTHER.as_dict(private=False)
    for header in ({"jwk": own}, {"jku": "https://evil.test/keys"}, {"x5u": "https://evil.test/c"}):
        assert refusal(identity, issuer.token(OTHER, header={"kid": "rsa", **header}))


def test_a_critical_extension_that_nobody_knows_is_refused(identity, issuer):
    token = issuer.token()
    header = plain({"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": 1})

    assert refusal(identity, f"{header}.{token.partition('.')[2]}")


def test_an_encrypted_token_is_refused(identity, issuer):
    key = OctKey.generate_key(256)
    token = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, issuer.token().encode(), key)

    assert refusal(identity, token)


def test_a_changed_claim_is_refused(identity, issuer):
    header, claims, signature = issuer.token().split(".")

    assert refusal(identity, f"{header}.{plain(issuer.claims(sub='root'))}.{signature}")
    assert refusal(identity, f"{header}.{claims}.")


NO_TOKENS = {
    "nothing": "",
    "a word": "x",
    "dots": "..",
    "no base64": "a.b.c",
    "five parts": "a.b.c.d.e",
    "bytes": "\xff.\xff.\xff",
    "JSON": "[].{}.x",
    "a list": f"{plain([])}.{plain({})}.x",
    "a text": f"{plain('alg')}.{plain({})}.x",
    "a number": f"{plain(1)}.{plain({})}.x",
}


@pytest.mark.parametrize("token", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_no_token_is_refused(identity, token):
    assert refusal(identity, token)


def test_a_huge_token_is_refused_unread(identity, issuer, monkeypatch):
    monkeypatch.setattr(module.hashlib, "sha256", None)

    assert refusal(identity, issuer.token(note="x" * MAX_TOKEN))


def test_deep_claims_are_refused(identity, issuer):
    header = plain({"alg": "RS256", "kid": "rsa"})
    deep = plain(b"[" * 8000)

    assert refusal(identity, f"{header}.{deep}.x")
    assert refusal(identity, f"{deep}.{deep[:1000]}.x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_text_is_refused_and_never_fails(identity, text):
    assert refusal(identity, text)


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"])
FIELDS = st.dictionaries(NAMES, PARTS | st.sampled_from(["RS256", "rsa", "JWT"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=FIELDS | PARTS, claims=PARTS, signature=st.binary(max_size=8))
def test_any_parts_are_refused_and_never_fail(identity, header, claims, signature):
    assert refusal(identity, f"{plain(header)}.{plain(claims)}.{plain(signature)}")


# --- remembered -------------------------------------------------------------------------------


def test_a_token_is_verified_once_and_until_it_ends(identity, issuer, monkeypatch):
    token = issuer.token()
    caller = identity.of(bearer(token))
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_claims", None)
        assert identity.of(bearer(token)) is caller
    issuer.now += 60 + 30

    assert refusal(identity, token) == "The token has expired."


async def test_a_key_that_is_withdrawn_takes_its_tokens_along(identity, issuer, provider):
    token = issuer.token()
    assert identity.of(bearer(token))
    issuer.keys = [EC]
    await provider.refresh()

    assert refusal(identity, token)
    assert identity.of(bearer(issuer.token(EC)))


def test_tokens_cannot_fill_the_memory(identity, issuer, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    for number in range(8):
        assert identity.of(bearer(issuer.token(EC, jti=str(number))))

    assert len(identity._known) <= 3


def test_claims_say_what_a_caller_may(issuer, provider):
    told = OidcSettings(ISSUER, (AUDIENCE,), predict_scope="prism:predict", models_claim="prism.models")
    identity = TokenIdentity(told, provider, issuer.clock)
    caller = identity.of(bearer(issuer.token(scope="openid prism:predict", prism={"models": ["churn"]})))
    reader = identity.of(bearer(issuer.token(scope="openid")))

    assert (caller.scopes, caller.models) == ({"predict", "read"}, {"churn"})
    assert (reader.scopes, reader.models) == ({"read"}, frozenset())
