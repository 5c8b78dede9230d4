"""What recognising a caller costs a request: ``python -m bench.callers``.

The door is asked as `rest.shortcut` asks it, for a key and for a token of an identity provider;
what a refusal costs, and a token that is seen for the first time. `bench.budget` has the
request around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bench.budget import measure, table
from prism_core.errors import Unauthorized
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.keys import KeyTable, KeyWish, new_key
from prism_core.gateway.callers.provider import ProviderKeys
from prism_core.gateway.callers.tokens import TokenIdentity
from prism_core.rest.errors import problem_response
from prism_core.settings import OidcSettings

OTHERS = 1000
SETTINGS = OidcSettings("https://id.example.org", ("prism",))


def headers(secret: str) -> dict[str, str]:
    """Return a request's headers."""
    return {"host": "127.0.0.1:8000", "content-type": "application/json", "authorization": f"Bearer {secret}"}


def enter(door: Door, secret: str) -> Callable[[], Any]:
    """Return what lets a request in."""
    told = headers(secret)
    return lambda: door.enter("logistic", "predict", told, "127.0.0.1", 70)


def refused(door: Door, secret: str) -> Callable[[], Any]:
    """Return what refuses a request, and makes the answer."""
    ask = enter(door, secret)

    def refuse() -> None:
        try:
            ask()
        except Unauthorized as error:
            problem_response(error)
        else:
            raise AssertionError("it was let in")

    return refuse


def key_steps() -> dict[str, float]:
    """Return the steps with keys, of which there are many."""
    wish = KeyWish(models=("logistic",), rate="5/s", expires_s=3600)
    made = [new_key(wish, time.time()) for _ in range(OTHERS)]
    door, secret = Door(identity=KeyTable(key for key, _ in made)), made[0][1]
    return {
        "a key: digest, compare, expiry, scopes": measure(enter(door, secret)),
        "a wrong key, refused": measure(refused(door, secret[:-1] + "x")),
        "no key, refused": measure(refused(door, "")),
    }


def token_steps() -> dict[str, float]:
    """Return the steps with tokens, one that is known and new ones of two sorts."""
    steps: dict[str, float] = {}
    for name, alg, key in (
        ("RSA", "RS256", RSAKey.generate_key(2048, {"kid": "rsa"})),
        ("P-256", "ES256", ECKey.generate_key("P-256", {"kid": "ec"})),
    ):
        provider = ProviderKeys(None)  # type: ignore[arg-type]  # nothing is fetched here
        provider.keys = {str(key.kid): key}
        identity = TokenIdentity(SETTINGS, provider)
        claims = {"iss": SETTINGS.issuer, "aud": "prism", "sub": "ann", "exp": int(time.time()) + 3600}
        token = jwt.encode({"alg": alg, "kid": key.kid}, claims, key)
        door = Door(identity=identity)
        steps.setdefault("a token that is known", measure(enter(door, token)))
        steps[f"a token that is new, {name}"] = measure(lambda i=identity, t=token: i._verified(t), 200)
        false = refused(door, token[:-8] + "AAAAAAAA")
        steps[f"a token with a false signature, {name}"] = measure(false, 200)
    return steps


if __name__ == "__main__":
    nobody = Door(guards=[])
    print(table({"a door that asks nobody": measure(enter(nobody, ""))} | key_steps() | token_steps()))
