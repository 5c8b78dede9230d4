"""Sessions of links: what a page is given for the token, and for the password where there is one.

A session is ``prs_<end>_<proof>`` and nothing is kept of it: the proof is an HMAC whose key is
made of what is kept of the link, so a session ends with its link in every gateway at once. Who
has the token alone cannot make one where there is a password: its salt is in the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from prism_core.gateway.callers.link import Link

PREFIX = "prs_"
# A day's work at a page; then it asks its token again, which it has in its address.
LASTS_S = 12 * 3600.0
COOKIE = "prism_session"

_SESSION = re.compile(r"prs_([0-9a-f]{1,12})_([0-9a-f]{64})")


def key_of(link: Link) -> bytes:
    """Return the key of a link's sessions."""
    return hmac.digest(link.digest, b"prism session\0" + link.slug.encode() + b"\0" + link.password, "sha256")


def new_session(link: Link, now: float) -> tuple[str, float]:
    """Return a session of ``link``, and when it ends in Unix seconds: not after the link."""
    ends = int(now + LASTS_S)
    if link.expires:
        ends = min(ends, int(link.expires))
    return f"{PREFIX}{ends:x}_{_proof(key_of(link), f'{ends:x}')}", float(ends)


def is_valid(key: bytes, text: str, now: float) -> bool:
    """Return whether ``text`` is a session made with ``key`` that has not ended."""
    found = _SESSION.fullmatch(text)
    if found is None or not hmac.compare_digest(_proof(key, found[1]), found[2]):
        return False
    return now < int(found[1], 16)


def _proof(key: bytes, ends: str) -> str:
    return hmac.new(key, ends.encode(), hashlib.sha256).hexdigest()
