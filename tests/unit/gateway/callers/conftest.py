"""An issuer of tokens with real keys, a provider that publishes them, and what keys and links are kept in."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import attrs
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from prism_core.gateway.auditing import open_audit
from prism_core.gateway.callers.mirrored import MirroredCallers
from prism_core.gateway.callers.provider import ProviderKeys, keys_of
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.tokens import TokenIdentity
from prism_core.gateway.callers.usage import Usage
from prism_core.gateway.records import open_records
from prism_core.settings import OidcSettings

ISSUER, AUDIENCE = "https://id.test", "prism"
NOW = 1_800_000_000.0

# Making an RSA key takes a tenth of a second; nothing here changes one.
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = RSAKey.generate_key(2048, {"kid": "other"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})


def plain(part: Any) -> str:
    """Return a part of a token as it is written."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@attrs.define
class Issuer:
    """An identity provider in memory: signs, publishes, rotates, and is down when it is told to be."""

    keys: list[Any] = attrs.field(factory=lambda: [RSA, EC])
    down: bool = False
    fetches: int = 0
    now: float = NOW

    def clock(self) -> float:
        return self.now

    async def fetch(self) -> Any:
        self.fetches += 1
        if self.down:
            raise ConnectionError("refused")
        return keys_of(KeySet(self.keys).as_dict(private=False))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token; None takes one away."""
        now = int(self.now)
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 60}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, key: Any = RSA, alg: str = "", header: Any = None, **changes: Any) -> str:
        """Return a signed token."""
        alg = alg or {"RSA": "RS256", "EC": "ES256"}[key.key_type]
        told = {"alg": alg, "kid": key.kid} | (header or {})
        told = {name: value for name, value in told.items() if value is not None}
        registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
        return jwt.encode(told, self.claims(**changes), key, registry=registry)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def provider(issuer: Issuer) -> ProviderKeys:
    provider = ProviderKeys(issuer.fetch, issuer.clock)
    await provider.refresh()
    return provider


@pytest.fixture
def identity(issuer: Issuer, provider: ProviderKeys) -> TokenIdentity:
    return TokenIdentity(OidcSettings(ISSUER, (AUDIENCE, "api")), provider, issuer.clock)


class FakeFollowers:
    """One follower that knows at once what it is told."""

    def __init__(self, clock=time.time):
        self.mirror = MirroredCallers(clock)
        self.members = [self]
        self.told = []
        self.agreed = 0
        self.greetings = []

    def tell(self, command):
        self.told.append(command)
        self.mirror.hear(command)

    async def agree(self):
        self.agreed += 1

    def report(self):
        uses = self.mirror.uses()
        if uses:
            self.heard(uses)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def records():
    async with open_records(Path(":memory:")) as records:
        yield records


@pytest.fixture
def followers(clock):
    return FakeFollowers(clock)


@pytest.fixture
async def audit(tmp_path):
    async with open_audit(tmp_path) as audit:
        yield audit


@pytest.fixture
def usage(records, followers, clock):
    return Usage(records, followers, {}, Tally(), clock)
