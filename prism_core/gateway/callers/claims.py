"""What the claims of a verified token let its holder do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prism_core.errors import Unauthorized
from prism_core.settings import OidcSettings
from prism_core.specs import Caller

# A subject stands in logs, metrics and lists.
MAX_SUBJECT = 255
# In the claim that names models: all there are and will be.
EVERY = "*"


def caller_of(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Return who calls, and what they may.

    Raises
    ------
    Unauthorized
        If there is no subject.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise Unauthorized("The token has no subject.")
    return Caller(f"oidc:{subject}", scopes_of(claims, settings), models_of(claims, settings))


def scopes_of(claims: Mapping[str, Any], settings: OidcSettings) -> frozenset[str]:
    """Return the scopes; one for which no word is set is everybody's."""
    words = words_of(claim_at(claims, settings.scope_claim))
    has = {
        scope: not word or word in words
        for scope, word in (("predict", settings.predict_scope), ("read", settings.read_scope))
    }
    return frozenset(scope for scope in has if has[scope] or has["predict"])


def models_of(claims: Mapping[str, Any], settings: OidcSettings) -> frozenset[str] | None:
    """Return the models, None for all; a token without the claim that names them has none."""
    if not settings.models_claim:
        return None
    words = words_of(claim_at(claims, settings.models_claim))
    return None if EVERY in words else words


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by its name, or by a path such as ``realm_access.roles``; None where there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def words_of(value: Any) -> frozenset[str]:
    """Return the words of a claim: a list of texts, or one text with spaces or commas between them."""
    if isinstance(value, str):
        return frozenset(value.replace(",", " ").split())
    if isinstance(value, list):
        return frozenset(word for word in value if isinstance(word, str))
    return frozenset()
