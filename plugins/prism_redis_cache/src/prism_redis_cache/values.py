"""Values as they are stored: a digest, then the bytes.

The digest is over the key too, so a value that was cut, changed or put under another key is
told from a right one. It is no signature: who can write to the store can also make one.
"""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 16


def seal(key: bytes, value: bytes) -> bytes:
    """Return ``value`` as it is stored under ``key``."""
    return _digest(key, value) + value


def unseal(key: bytes, stored: bytes) -> bytes | None:
    """Return the value, or None if it is not what was stored under ``key``."""
    digest, value = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    return value if digest == _digest(key, value) else None


def _digest(key: bytes, value: bytes) -> bytes:
    digest = blake2b(len(key).to_bytes(4, "little") + key, digest_size=DIGEST_BYTES, person=b"prism-value-1")
    digest.update(value)
    return digest.digest()
