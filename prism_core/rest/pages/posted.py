"""What a browser sends of a form: texts by name, and perhaps one file.

The file's bytes are not looked at here: they go on to the model's own process as they are.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

import attrs
import multipart

from prism_core.errors import MalformedBody, PayloadTooLarge, UnsupportedInput
from prism_core.rest.pages.widgets import MAX_FIELDS

# Each field may have its `other`, and there are a few of the form's own.
MAX_PARTS = 2 * MAX_FIELDS + 8
# All texts together; a file may be as large as any body.
MAX_TEXT_BYTES = 1 << 20
URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@attrs.frozen
class Posted:
    """What a form said. ``file`` is None where none was chosen."""

    texts: Mapping[str, str]
    file: bytes | None = None
    media_type: str = ""


def posted(content_type: str, body: bytes) -> Posted:
    """Read the ``body`` of a form.

    Raises
    ------
    MalformedBody
        If it is not what a browser makes of a form.
    PayloadTooLarge
        If its texts are longer than anybody writes.
    UnsupportedInput
        If it is something else.
    """
    kind, options = multipart.parse_options_header(content_type)
    if kind == URL_ENCODED and len(body) > MAX_TEXT_BYTES:
        raise _too_long()
    try:
        if kind == MULTIPART:
            return _parts(options.get("boundary", ""), body)
        if kind == URL_ENCODED:
            pairs = urllib.parse.parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS
            )
            return Posted(dict(pairs))
    except (ValueError, LookupError, multipart.MultipartError):
        raise MalformedBody("The body is not that of a form.", hint="Programs POST to .../predict.") from None
    raise UnsupportedInput("This route takes the page's form.", hint="Programs POST to .../predict.")


def _parts(boundary: str, body: bytes) -> Posted:
    texts: dict[str, str] = {}
    file, media_type = None, ""
    with multipart.PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
        segment, data = None, bytearray()
        for part in parser.parse(body):
            if isinstance(part, multipart.MultipartSegment):
                segment, data = part, bytearray()
            elif part:
                data += part
            elif segment is not None and segment.filename is None:
                texts[segment.name] = data.decode()
                if sum(map(len, texts.values())) > MAX_TEXT_BYTES:
                    raise _too_long()
            elif segment is not None and data:
                file, media_type = bytes(data), segment.content_type or ""
    return Posted(texts, file, media_type)


def _too_long() -> PayloadTooLarge:
    return PayloadTooLarge("The form holds too much text.", hint="Programs POST to .../predict.")
