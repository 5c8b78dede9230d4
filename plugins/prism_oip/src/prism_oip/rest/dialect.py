"""Predictions over REST: which paths, how a head is read, and how an answer becomes lines and a body.

The head becomes parameters of the media type in which the runtime gets the body, which nobody has opened
until then. The answer comes with a prefix (`prism_oip.media`), which says what the lines have to say.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from prism_core.plugin import Dialect, MalformedBody, ModelFailed
from prism_oip.media import ENCODINGS, PREFIX, REST
from prism_oip.problems import problem
from prism_oip.rest.packing import PACKED, answer_of, encoding_of
from prism_oip.rest.paths import MODEL

ROUTES = f"{MODEL}/infer"
HEADER = "inference-header-content-length"
# More digits than any body's length has; Python would read thousands.
_DIGITS = 18


def read(headers: Mapping[str, str]) -> str:
    """Return the media type of a body, with what its head says of it.

    Content-Type says nothing that is needed, and clients differ: JSON alone comes as application/json, as
    application/octet-stream, as what curl sends unasked, or with none. Triton looks at none of them either.

    Raises
    ------
    MalformedBody
        If Inference-Header-Content-Length is no number, or more than there is.
    UnsupportedInput
        If the body is packed in a way that nobody unpacks.
    """
    media_type = REST
    encoding = encoding_of(headers.get("content-encoding", ""))
    if (written := headers.get(HEADER)) is not None:
        # What is packed is longer when it is unpacked: there the runtime compares.
        most = "" if encoding else headers.get("content-length", "")
        media_type += f";header={_header_bytes(written, most)}"
    if encoding:
        media_type += f";encoding={encoding}"
    if answer := answer_of(headers.get("accept-encoding", "")):
        media_type += f";answer={answer}"
    return media_type


def _header_bytes(written: str, most: str) -> int:
    digits = written.strip(" \t")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS:
        raise MalformedBody(
            f"Inference-Header-Content-Length is {written[:40]!r}, not a number of bytes.",
            hint="It is the length of the JSON at the body's beginning.",
        )
    if most and int(digits) > int(most):
        raise MalformedBody(
            f"Inference-Header-Content-Length is {int(digits)}, the whole body has {int(most)} bytes.",
            hint="It is the length of the JSON at the body's beginning, before any tensors.",
        )
    return int(digits)


def _lines(content_type: bytes, encoding: str) -> bytes:
    packed = b"content-encoding: %b\r\n" % encoding.encode() if encoding else b""
    return b"content-type: %b\r\n%bvary: accept-encoding\r\n" % (content_type, packed)


# By the number in the prefix.
_JSON = tuple(_lines(b"application/json", encoding) for encoding in ENCODINGS)
_RAW = tuple(
    _lines(b"application/octet-stream", encoding) + b"inference-header-content-length: %d\r\n"
    for encoding in ENCODINGS
)


def write(body: bytes | memoryview) -> tuple[bytes, memoryview]:
    """Return the header lines of an answer and its body, which is a view of what was given.

    Raises
    ------
    ModelFailed
        If it has no prefix: a replica has run somebody's model, and may say anything.
    """
    try:
        header_bytes, encoding = PREFIX.unpack_from(body)
        lines = _RAW[encoding] % header_bytes if header_bytes else _JSON[encoding]
    except (struct.error, IndexError):
        raise ModelFailed("The replica's answer is not one of this protocol.") from None
    return lines, memoryview(body)[PREFIX.size :]


DIALECT = Dialect(
    "oip",
    ROUTES,
    accept=REST,
    read=read,
    write=write,
    problem=problem,
    encodings=frozenset(PACKED),
    headers=("content-encoding", HEADER),
    extensions=("binary_tensor_data", "parameters"),
)
