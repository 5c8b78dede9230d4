"""The built-in media types, as a plugin like any other; they run in the runtime.

======================================  =============  =======================================
media type                              module         in / out
======================================  =============  =======================================
application/json                        json_in, _out  both
application/x-npy                       npy            both; out: the primary output
application/octet-stream                raw            both; out: the primary output
application/vnd.prism.tensors           tensors        both; named arrays without a copy
text/csv                                csv            both; out: one column an output or class
text/plain                              text           in
image/png, jpeg, webp, bmp, gif, tiff   images         in, where Pillow is installed
======================================  =============  =======================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from prism_core.inputs import (
    csv,
    csv_parts,
    images,
    json_in,
    json_out,
    json_out_parts,
    json_parts,
    npy,
    raw,
    tensors,
    text,
)
from prism_core.plugin import Batch, Normalizer, Request, Signature, hookimpl

ARRAYS: Mapping[str, Any] = {
    "application/x-npy": npy,
    "application/octet-stream": raw,
    "application/vnd.prism.tensors": tensors,
}


@hookimpl
def prism_normalizers() -> Iterator[Normalizer]:
    """Offer the built-in media types."""
    yield Normalizer(
        "application/json",
        json_in.normalize,
        json_out.encode,
        normalize_steps=json_parts.normalize,
        encode_steps=json_out_parts.encode,
    )
    for media_type, arrays in ARRAYS.items():
        yield Normalizer(media_type, arrays.normalize, arrays.encode, normalize_steps=arrays.normalize_steps)
    yield Normalizer("text/csv", csv.normalize, csv.encode, normalize_steps=csv_parts.normalize)
    yield Normalizer("text/plain", text.normalize)
    for media_type in images.FORMATS:
        yield Normalizer(media_type, partial(_image, media_type), available=images.available)


def _image(media_type: str, body: memoryview, signature: Signature, request: Request) -> Batch:
    return images.normalize(body, media_type, signature, request)
