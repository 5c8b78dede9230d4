"""API keys: how they are made, kept, recognised, and what they let their holder do.

A key is ``prism_<id>_<secret>``: the id names it in lists and logs, the secret is 256 random
bits. Only a SHA-256 of the whole text is kept. A slow hash would protect a password that can
be guessed; these bits cannot be, and a slow hash is a way to keep a server busy.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs
import msgspec

from prism_core.errors import InvalidParameter, Unauthorized
from prism_core.gateway.views import check_name
from prism_core.rates import MOST, Allowance, Rate
from prism_core.specs import Caller

PREFIX = "prism_"
ID_BYTES, SECRET_BYTES = 4, 32
# prism_ab12cd34_0123...: hexadecimal, so that a double click selects all of it.
_ID = slice(len(PREFIX), len(PREFIX) + 2 * ID_BYTES)
LENGTH = len(PREFIX) + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES

SCOPES = ("predict", "read")
# Whoever may predict with a model may see what it takes.
_IMPLIED = {"predict": frozenset({"predict", "read"}), "read": frozenset({"read"})}
MAX_NAME = 100


class Key(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of an API key. ``models`` None: all, ``expires`` in Unix seconds, 0 for never."""

    id: str
    digest: bytes
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    rate: str
    quota: int
    created: float
    expires: float

    @property
    def caller(self) -> Caller:
        """Who calls with this key."""
        scopes = frozenset().union(*(_IMPLIED[scope] for scope in self.scopes))
        models = None if self.models is None else frozenset(self.models)
        limits = Allowance(Rate.parse(self.rate) if self.rate else None, self.quota or None)
        return Caller(caller_id(self.id), scopes, models, limits)


@attrs.frozen
class KeyWish:
    """What a new key is to be. No models are all models; no rate, and 0, are no limit and no end."""

    name: str = ""
    models: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("predict",)
    rate: str = ""
    quota: int = 0
    expires_s: float = 0.0

    def check(self) -> None:
        """Raise `InvalidParameter` for what no key can be."""
        for model in self.models:
            check_name(model)
        unknown = [scope for scope in self.scopes if scope not in SCOPES]
        if unknown or not self.scopes:
            wrong = ", ".join(unknown) or "Nothing"
            raise InvalidParameter(f"{wrong} is no scope of a key.", hint=f"Give {' or '.join(SCOPES)}.")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise InvalidParameter(f"A key's name is one line of at most {MAX_NAME} characters.")
        check_limits(self.rate, quota=self.quota, expires_s=self.expires_s)


def check_limits(rate: str, **numbers: float) -> None:
    """Raise `InvalidParameter` unless a rate is one, or "", and each number is from 0 to `MOST`."""
    for name, number in numbers.items():
        if not 0 <= number <= MOST:
            raise InvalidParameter(f"{name} is {number}; it is from 0, for none, to {MOST}.")
    try:
        Rate.parse(rate or "1/s")
    except ValueError as error:
        raise InvalidParameter(f"The rate is wrong: {error}") from error


def new_key(wish: KeyWish, now: float, taken: Collection[str] = ()) -> tuple[Key, str]:
    """Return a new key as it is kept, and its text, which nobody can tell again.

    Raises
    ------
    InvalidParameter
        If there cannot be such a key.
    """
    wish.check()
    while (key_id := secrets.token_hex(ID_BYTES)) in taken:
        continue
    text = f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    key = Key(
        key_id,
        digest_of(text),
        wish.name,
        tuple(dict.fromkeys(wish.scopes)),
        tuple(dict.fromkeys(wish.models)) or None,
        str(Rate.parse(wish.rate)) if wish.rate else "",
        wish.quota,
        now,
        now + wish.expires_s if wish.expires_s else 0.0,
    )
    return key, text


def digest_of(text: str) -> bytes:
    """Return what is kept of a key's text."""
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()


def caller_id(key_id: str) -> str:
    """Return what a caller with the key is called."""
    return f"key:{key_id}"


def presented(headers: Mapping[str, str]) -> str:
    """Return what a request shows as its key or token, "" for nothing.

    Headers only: a URL is written into logs, histories and Referer headers on its way.
    """
    key = headers.get("x-api-key")
    if key is not None:
        return key.strip()
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


@attrs.frozen
class _Known:
    digest: bytes
    expires: float
    caller: Caller


# What an unknown id is compared with, so that it takes no other way than a wrong secret.
_NOBODY = _Known(bytes(32), 0.0, Caller("", frozenset(), frozenset()))


class KeyTable:
    """The keys that are valid now: an `Identity` of callers. Looked up for every request.

    Attributes
    ----------
    keys
        By id. Replaced whole by `replace`.
    used
        Ids of keys that were used since somebody last took them.
    """

    def __init__(self, keys: Iterable[Key] = (), clock: Callable[[], float] = time.time) -> None:
        self.used: set[str] = set()
        self._clock = clock
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Let exactly ``keys`` be valid from now on."""
        self.keys = {key.id: key for key in keys}
        self._known = {key.id: _Known(key.digest, key.expires, key.caller) for key in self.keys.values()}

    def __contains__(self, key_id: str) -> bool:
        return key_id in self.keys

    def of(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller whose key a request shows.

        Raises
        ------
        Unauthorized
            If it shows none, or one that is not valid.
        """
        text = presented(headers)
        if not text:
            raise Unauthorized(
                "This server asks for a key.",
                hint="Send `Authorization: Bearer KEY` or `X-API-Key: KEY`; its owner makes one with "
                "`prism keys create`.",
            )
        key_id = text[_ID]
        known = self._known.get(key_id, _NOBODY)
        if not hmac.compare_digest(digest_of(text), known.digest):
            raise Unauthorized("This key is not valid.", hint="It is mistyped, or was revoked.")
        if known.expires and known.expires <= self._clock():
            raise Unauthorized("This key has expired.", hint="Ask the owner for a new one.")
        self.used.add(key_id)
        return known.caller

    def take_used(self) -> set[str]:
        """Return the ids of keys that were used since this was last asked."""
        used, self.used = self.used, set()
        return used
