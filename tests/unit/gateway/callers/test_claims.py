"""What claims mean."""

import pytest

from prism_core.gateway.callers.claims import claim_at, models_of, scopes_of, words_of
from prism_core.settings import OidcSettings

KEYCLOAK = {"realm_access": {"roles": ["predictor", 1]}, "https://x/models": "a, b", "scope": "openid read"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a b  c", {"a", "b", "c"}),
        ("a,b", {"a", "b"}),
        (["a b", "c", 1, None], {"a b", "c"}),
        ("", set()),
        (None, set()),
        ({"a": 1}, set()),
        (7, set()),
    ],
)
def test_words(value, words):
    assert words_of(value) == words


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("scope", "openid read"),
        ("realm_access.roles", ["predictor", 1]),
        ("https://x/models", "a, b"),  # a name with dots is a name first
        ("realm_access.groups", None),
        ("scope.read", None),
        ("none", None),
    ],
)
def test_where_a_claim_is(path, found):
    assert claim_at(KEYCLOAK, path) == found


@pytest.mark.parametrize(
    ("predict", "read", "scopes"),
    [
        ("", "", {"predict", "read"}),
        ("read", "", {"predict", "read"}),
        ("write", "", {"read"}),
        ("write", "read", {"read"}),
        ("write", "see", set()),
        ("read", "see", {"predict", "read"}),  # whoever predicts may read
    ],
)
def test_scopes(predict, read, scopes):
    assert scopes_of(KEYCLOAK, OidcSettings(predict_scope=predict, read_scope=read)) == scopes


@pytest.mark.parametrize(
    ("claim", "value", "models"),
    [
        ("", ["a"], None),
        ("models", ["a", "b"], {"a", "b"}),
        ("models", "a b", {"a", "b"}),
        ("models", "*", None),
        ("models", ["a", "*"], None),
        ("models", [], set()),
        ("models", None, set()),
        ("models", {"a": True}, set()),
    ],
)
def test_models(claim, value, models):
    assert models_of({"models": value}, OidcSettings(models_claim=claim)) == models
