"""``text/plain``: one string for a model that reads text, or one a line with ``?lines=true``."""

from __future__ import annotations

import numpy as np

from prism_core.fitting.faults import only_input, quote
from prism_core.fitting.fit import fit
from prism_core.plugin import Batch, InvalidInput, MalformedBody, Request, Signature, UnsupportedInput

TRUE = frozenset({"true", "1", "yes", ""})
FALSE = frozenset({"false", "0", "no"})
CHARSETS = {"": "utf-8", "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch of the text in ``body``: one row, or with ``lines`` one a line.

    Raises
    ------
    MalformedBody
        If it is not text.
    UnsupportedInput
        If the model takes something else than one string a row.
    PayloadTooLarge
        If it has more lines than the server takes values.
    """
    spec = only_input(signature, "text/plain")
    if spec.dtype.kind != "O":
        raise UnsupportedInput(
            f"The model takes no text: its input {spec.name!r} is {spec.datatype}.",
            hint="Send its values as JSON; GET /model/NAME shows the full signature.",
        )
    lines = flag(request, "lines", default=False)
    if lines:
        request.limits.check_values(bytes(body).count(b"\n"))
    text = decode(body, request)
    rows = _lines(text) if lines else [text]
    return fit({spec.name: np.array(rows, dtype=object)}, signature)


def _lines(text: str) -> list[str]:
    # Not str.splitlines: that also ends a line at a form feed, which is text.
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def decode(body: memoryview, request: Request) -> str:
    """Return the body as text, in the charset that the media type names, UTF-8 by default."""
    charset = request.parameters.get("charset", "").lower()
    if charset not in CHARSETS:
        raise UnsupportedInput(f"Charset {quote(charset)} is not read here.", hint="Send UTF-8.")
    try:
        return str(body, CHARSETS[charset])
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"The body is not {CHARSETS[charset]}: byte {error.start} does not fit."
        ) from None


def flag(request: Request, name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false."""
    value = request.parameters.get(name)
    if value is None:
        return default
    if value.lower() not in TRUE | FALSE:
        raise InvalidInput(f"{name} is {quote(value)}; it may be true or false.")
    return value.lower() in TRUE
