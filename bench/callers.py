"""What recognising a caller costs a request: ``python -m bench.callers``.

The door is asked as `rest.shortcut` asks it, for a key, for a link and for a token of an identity
provider; what a refusal costs, and a token that is seen for the first time. Then all of the
gateway's Python for a prediction as `bench.budget` has it: plain, with a key and through a link.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bench.budget import Gateway, load, measure, request, table
from prism_core.errors import Unauthorized
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.keys import KeyTable, KeyWish, new_key
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.link import MARK, Link, LinkWish, new_link
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.provider import ProviderKeys
from prism_core.gateway.callers.sessions import new_session
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.callers.tokens import TokenIdentity
from prism_core.rest.errors import problem_response
from prism_core.rest.linked import link_way
from prism_core.settings import OidcSettings

OTHERS = 1000
SETTINGS = OidcSettings("https://id.example.org", ("prism",))


def headers(secret: str) -> dict[str, str]:
    """Return a request's headers."""
    return {"host": "127.0.0.1:8000", "content-type": "application/json", "authorization": f"Bearer {secret}"}


def enter(door: Door, secret: str, reference: str = "logistic") -> Callable[[], Any]:
    """Return what lets a request in."""
    told = headers(secret)
    return lambda: door.enter(reference, "predict", told, "127.0.0.1", 70)


def refused(door: Door, secret: str, reference: str = "logistic") -> Callable[[], Any]:
    """Return what refuses a request, and makes the answer."""
    ask = enter(door, secret, reference)

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


def door_of_links(wish: LinkWish) -> tuple[LinkDoor, Link, str]:
    """Return a door of many links, one of them and its token."""
    made = [new_link(wish, time.time()) for _ in range(OTHERS)]
    uses = Tally()
    table = LinkTable((link for link, _ in made), uses=uses)
    return LinkDoor(table, Limiter(uses=uses)), *made[0]


def link_steps() -> dict[str, float]:
    """Return the steps with links, of which there are many."""
    door, link, token = door_of_links(LinkWish("logistic"))
    bounded = LinkWish("logistic", rate="10000000/s", uses=10_000_000, expires_s=3600)
    limited, other, others_token = door_of_links(bounded)
    session, _ = new_session(link, time.time())
    return {
        "a link": measure(enter(door, token, MARK + link.slug)),
        "a link by a session": measure(enter(door, session, MARK + link.slug)),
        "a link with a rate, uses and an end": measure(enter(limited, others_token, MARK + other.slug)),
        "a wrong token of a link, refused": measure(refused(door, token[:-1], MARK + link.slug)),
    }


async def whole() -> dict[str, float]:
    """Return what all of the gateway's Python takes for a prediction."""
    with tempfile.TemporaryDirectory(prefix="prism-callers-") as directory:
        session, bodies = load(Path(directory))
    gateway, answer = Gateway(session), b'{"model":"logistic","version":1,"predictions":[0]}'
    key, text = new_key(KeyWish(models=("logistic",)), time.time())
    keys = Door(identity=KeyTable([key]), limiter=Limiter(uses=Tally()))
    door, link, token = door_of_links(LinkWish("logistic"))
    way = link_way(gateway.service, door)
    path = f"/s/{link.slug}/predict"
    asked = {
        "a prediction": (gateway.connection(), request(bodies[0])),
        "the same where there are links": (gateway.connection(links=way), request(bodies[0])),
        "with a key": (gateway.connection(keys), request(bodies[0], secret=text)),
        "through a link": (gateway.connection(links=way), request(bodies[0], path, token)),
    }
    return {name: gateway.round_trip(*one, answer) for name, one in asked.items()}


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
    asks_nobody = {"a door that asks nobody": measure(enter(nobody, ""))}
    print(table(asks_nobody | key_steps() | link_steps() | token_steps()))
    print()
    print(table(asyncio.run(whole())))
