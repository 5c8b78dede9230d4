"""A link: a capability to use one model, that can be sent to somebody. What is kept, and asked for.

``<base>/s/<slug>`` is its page. The slug names it in lists and logs and opens nothing; the
token does: 256 random bits, in the fragment of the page's address, or in the header
``Authorization: Bearer`` or ``X-Prism-Token`` of programs. Only a SHA-256 of it is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Collection

import attrs
import msgspec

from prism_core.errors import InvalidParameter
from prism_core.gateway.callers import passwords
from prism_core.gateway.callers.keys import check_limits
from prism_core.gateway.callers.origins import WRITTEN, is_origin
from prism_core.gateway.views import check_name
from prism_core.rates import Allowance, Rate
from prism_core.specs import Caller, model_of

# What a link may let its holder do; whoever may predict needs to see what the model takes.
VERBS = ("predict", "metadata")
# Before a slug where a reference to a model stands: no model has such a name.
MARK = "~"

# Of a slug: no letter that looks like another one or like a digit, and no vowel, so no words either.
ALPHABET, SLUG_LENGTH = "23456789bcdfghjkmnpqrstvwxyz", 10
# Before a token, so that one which lies somewhere is known for what it is. The rest is base32, which a double
# click selects whole and which has one spelling only.
PREFIX, TOKEN_BYTES = "prl_", 32

MAX_NOTE, MIN_PASSWORD, MAX_PASSWORD, MAX_ORIGINS = 2000, 4, 200, 20
# As the routes of a model: a name, and perhaps an alias or a version's number.
_REFERENCE = re.compile(r"([^@/]+)(?:@([^@/]+)|/[1-9][0-9]{0,17})?")
# The scopes that a verb is to the door.
_SCOPES = {"predict": frozenset({"predict", "read"}), "metadata": frozenset({"read"})}


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a link.

    Parameters
    ----------
    slug
        Its name in addresses.
    digest
        SHA-256 of its token.
    model
        A reference: ``churn``, ``churn@champion`` or ``churn/3``.
    verbs
        Of `VERBS`.
    rate
        How often it may be asked, "" for no limit of its own.
    uses
        How many predictions in all, 0 for no limit.
    origins
        Pages that may use it from elsewhere; () for none but its own.
    password
        What proves its password, b"" where it has none.
    page
        Whether it has a page for people.
    tunnel
        The link provider that leads to it.
    note
        What its owner says on the page.
    created, expires
        Unix seconds; ``expires`` 0 for never.
    """

    slug: str
    digest: bytes
    model: str
    verbs: tuple[str, ...]
    rate: str
    uses: int
    origins: tuple[str, ...]
    password: bytes
    page: bool
    tunnel: str
    note: str
    created: float
    expires: float

    def caller(self, rate: Rate | None = None) -> Caller:
        """Return who calls with this link; ``rate`` is that of a link without one of its own."""
        scopes = frozenset().union(*(_SCOPES[verb] for verb in self.verbs))
        limits = Allowance(Rate.parse(self.rate) if self.rate else rate, self.uses)
        return Caller(caller_id(self.slug), scopes, frozenset({model_of(self.model)}), limits)


@attrs.frozen
class LinkWish:
    """What a new link is to be: the body of ``POST /admin/v1/links``. "", () and 0 are none, or the default.

    ``tunnel``: the name of a link provider, "auto" for the first that works, "" for the server's ``link``.
    """

    model: str
    verbs: tuple[str, ...] = VERBS
    rate: str = ""
    uses: int = 0
    expires_s: float = 0.0
    origins: tuple[str, ...] = ()
    password: str = ""
    page: bool = True
    tunnel: str = ""
    note: str = ""

    def check(self) -> None:
        """Raise `InvalidParameter` for what no link can be."""
        _check_reference(self.model)
        unknown = [verb for verb in self.verbs if verb not in VERBS]
        if unknown or not self.verbs:
            wrong = ", ".join(unknown) or "Nothing"
            raise InvalidParameter(f"{wrong} is no verb of a link.", hint=f"Give {' or '.join(VERBS)}.")
        check_limits(self.rate, uses=self.uses, expires_s=self.expires_s)
        self._check_texts()

    def _check_texts(self) -> None:
        for origin in self.origins:
            if not is_origin(origin):
                raise InvalidParameter(f"{origin!r} is no origin.", hint=WRITTEN)
        if len(self.origins) > MAX_ORIGINS:
            raise InvalidParameter(f"A link has at most {MAX_ORIGINS} origins.")
        if self.password and not MIN_PASSWORD <= len(self.password) <= MAX_PASSWORD:
            raise InvalidParameter(f"A link's password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
        if len(self.note) > MAX_NOTE or not all(c.isprintable() or c in "\n\t" for c in self.note):
            raise InvalidParameter(f"A link's note is text of at most {MAX_NOTE} characters.")


def new_link(wish: LinkWish, now: float, taken: Collection[str] = ()) -> tuple[Link, str]:
    """Return a new link as it is kept, and its token, which nobody can tell again.

    Blocks where there is a password, which is hashed slowly.

    Raises
    ------
    InvalidParameter
        If there cannot be such a link.
    """
    wish.check()
    while (slug := new_slug()) in taken:
        continue
    token = PREFIX + base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()
    link = Link(
        slug,
        digest_of(token),
        wish.model,
        tuple(dict.fromkeys(wish.verbs)),
        str(Rate.parse(wish.rate)) if wish.rate else "",
        wish.uses,
        tuple(dict.fromkeys(wish.origins)),
        passwords.sealed(wish.password) if wish.password else b"",
        wish.page,
        wish.tunnel,
        wish.note.strip(),
        now,
        now + wish.expires_s if wish.expires_s else 0.0,
    )
    return link, token


def new_slug() -> str:
    """Return a name for addresses; nothing depends on that nobody guesses it."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SLUG_LENGTH))


def digest_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


def _check_reference(reference: str) -> None:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise InvalidParameter(
            f"{reference!r} is no reference to a model.", hint="Write churn, churn@champion or churn/3."
        )
    check_name(found[1])
    if found[2]:
        check_name(found[2], "alias")


def caller_id(slug: str) -> str:
    """Return what a caller with the link is called."""
    return f"link:{slug}"
