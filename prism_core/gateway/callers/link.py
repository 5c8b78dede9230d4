"""A link: a capability to use one model, that can be sent to somebody. What is kept, and asked for.

``<base>/s/<slug>`` is its page. The slug names it in lists and logs and opens nothing; the
token does: 256 random bits, in the fragment of the page's address, or in the header
``Authorization: Bearer`` or ``X-Prism-Token`` of programs. Only a SHA-256 of it is kept.
"""

from __future__ import annotations

import attrs
import msgspec

# What a link may let its holder do; whoever may predict needs to see what the model takes.
VERBS = ("predict", "metadata")
# Before a slug where a reference to a model stands: no model has such a name.
MARK = "~"


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


def caller_id(slug: str) -> str:
    """Return what a caller with the link is called."""
    return f"link:{slug}"
