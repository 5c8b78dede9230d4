"""Passwords of links: what is kept of them cannot be turned back, and guessing it is slow.

scrypt, at one of the strengths that OWASP gives: 16 MB and about 0.2 s of one processor a try.
Both functions block for that long: they belong into a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

SALT_BYTES = 16
_COST = {"n": 1 << 14, "r": 8, "p": 5, "maxmem": 32 * 1024 * 1024}


def sealed(password: str) -> bytes:
    """Return what is kept of a password: a salt, and a slow hash of both."""
    salt = secrets.token_bytes(SALT_BYTES)
    return salt + _hash(password, salt)


def opens(record: bytes, password: str) -> bool:
    """Return whether ``record`` is of this password."""
    salt, kept = record[:SALT_BYTES], record[SALT_BYTES:]
    return hmac.compare_digest(_hash(password, salt), kept)


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, **_COST)
