"""Tokens of an identity provider (OIDC, JWT): verified once, then known by their digest until they end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prism_core.errors import ConfigError, PrismError, Unauthorized
from prism_core.gateway.callers.claims import caller_of
from prism_core.gateway.callers.keys import presented
from prism_core.gateway.callers.provider import ProviderKeys, open_provider
from prism_core.settings import OidcSettings
from prism_core.specs import Caller

# Larger ones are refused unread; those that providers issue have one or two thousand characters.
MAX_TOKEN, MAX_HEADER = 16_384, 2_048
# Verified tokens that are remembered; then all are verified anew.
REMEMBERED = 10_000
# What a token for an API calls itself, if it says so: not a token of another kind, such as one for a logout.
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
_HINT = "Get a new token from the identity provider."


class TokenIdentity:
    """Knows callers by the token that they show.

    Parameters
    ----------
    settings
        Issuer, audience, algorithms, and what claims mean.
    provider
        The issuer's keys.
    clock
        Unix seconds.
    """

    def __init__(
        self, settings: OidcSettings, provider: ProviderKeys, clock: Callable[[], float] = time.time
    ) -> None:
        from joserfc.jws import JWSRegistry

        self._settings = settings
        self._provider = provider
        self._clock = clock
        self._leeway_s = int(settings.leeway_s)  # an int: a date in a token may be too large for a float
        self._known: dict[bytes, tuple[float, Caller]] = {}
        # Providers put fields of their own into the header; "crit" is checked all the same.
        self._registry = JWSRegistry(algorithms=settings.algorithms, strict_check_header=False)
        self._registry.max_header_length = MAX_HEADER
        provider.withdrawn = self._known.clear

    def of(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller whose token a request shows.

        Raises
        ------
        Unauthorized
            If it shows none, or one that is not valid here.
        IdentityUnavailable
            If the provider's keys are not known yet.
        """
        text = presented(headers)
        if not text:
            raise Unauthorized(
                f"This server asks for a token of {self._settings.issuer}.",
                hint="Send `Authorization: Bearer TOKEN`.",
            )
        if len(text) > MAX_TOKEN or not text.isascii():
            raise Unauthorized("This is no token of the identity provider.", hint=_HINT)
        digest = hashlib.sha256(text.encode()).digest()
        ends, caller = self._known.get(digest, (0.0, None))
        if caller is None or ends <= self._clock():
            ends, caller = self._verified(text)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[digest] = (ends, caller)
        return caller

    def _verified(self, text: str) -> tuple[float, Caller]:
        """Return when a token ends and who it is of."""
        from joserfc.errors import ClaimError, ExpiredTokenError

        try:
            claims = self._claims(text)
        except PrismError:
            raise
        except ExpiredTokenError:
            raise Unauthorized("The token has expired.", hint=_HINT) from None
        except ClaimError as error:
            # The claims of a token whose signature is good: its holder may know which is wrong.
            raise Unauthorized(f"The token is not for this server, now: {error.claim!r} is wrong.") from None
        except Exception:  # whatever a stranger made up: it is no token
            raise Unauthorized("The token is not valid.", hint=_HINT) from None
        return claims["exp"] + self._leeway_s, caller_of(claims, self._settings)

    def _claims(self, text: str) -> dict[str, Any]:
        from joserfc import jws, jwt

        header = jws.extract_compact(text.encode(), registry=self._registry).headers()
        key_id, kind = header.get("kid", ""), header.get("typ", "")
        if not isinstance(key_id, str) or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise ValueError("kid or typ")
        if header.get("alg") not in self._settings.algorithms:  # before a key is looked for in vain
            raise ValueError("alg")
        key = self._provider.find(key_id)
        claims = jwt.decode(text, key, registry=self._registry).claims
        jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock()),
            leeway=self._leeway_s,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "values": list(self._settings.audience)},
            exp={"essential": True},
            sub={"essential": True},
        ).validate(claims)
        return claims


@asynccontextmanager
async def open_tokens(settings: OidcSettings) -> AsyncIterator[TokenIdentity]:
    """Keep the provider's keys at hand, and know its tokens.

    Raises
    ------
    ConfigError
        If issuer or audience is not set, or the library is not installed.
    """
    missing = [f"oidc.{name}" for name in ("issuer", "audience") if not getattr(settings, name)]
    if missing:
        raise ConfigError(
            f"auth: oidc needs {' and '.join(missing)}.",
            hint="The issuer is the provider's URL; the audience is what it calls this server.",
        )
    try:
        import joserfc  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "auth: oidc needs the package joserfc.", hint="pip install 'prism-core[server,oidc]'"
        ) from error
    async with open_provider(settings) as provider:
        yield TokenIdentity(settings, provider)
