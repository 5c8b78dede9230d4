"""How a body is packed, and how an answer may be, as heads say it (RFC 9110)."""

from __future__ import annotations

from collections.abc import Iterator

from prism_core.plugin import UnsupportedInput

# "x-gzip" is what "gzip" was called before it was registered; recipients are to read it alike.
PACKED = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


def encoding_of(header: str) -> str:
    """Return how a body is packed, "" where it is not, as its Content-Encoding says.

    Raises
    ------
    UnsupportedInput
        If nobody unpacks it.
    """
    named = header.strip().lower()
    if named in ("", "identity"):
        return ""
    if named not in PACKED:
        raise UnsupportedInput(
            f"Bodies in Content-Encoding {header.strip()[:40]!r} are not read.",
            hint="Send gzip, deflate, or the body as it is.",
        )
    return PACKED[named]


def answer_of(header: str) -> str:
    """Return how an answer should be packed, "" for not at all, as an Accept-Encoding asks for.

    Only what is named is used, or ``*``; of what is wanted equally gzip comes first, then deflate.
    What is not written as the standard has it counts as not said.
    """
    weights = dict(_weighed(header))
    others = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", others))
    deflate = weights.get("deflate", others)
    best = max(gzip, deflate)
    if not best or best < weights.get("identity", 0.0):
        return ""
    return "gzip" if gzip == best else "deflate"


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        coding, *parameters = (word.strip().lower() for word in part.split(";"))
        if not parameters:
            yield coding, 1.0
        elif len(parameters) == 1 and parameters[0].startswith("q="):
            yield coding, _weight(parameters[0][2:])


def _weight(written: str) -> float:
    whole, _, rest = written.partition(".")
    if whole not in ("0", "1") or len(rest) > 3 or (rest and not (rest.isascii() and rest.isdigit())):
        return 0.0
    return min(1.0, float(f"{whole}.{rest or 0}"))
