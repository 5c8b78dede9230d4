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

from collections.abc import Iterator
from functools import partial

from prism_core.inputs import csv, images, json_in, json_out, npy, raw, tensors, text
from prism_core.plugin import Batch, Normalizer, Request, Signature, hookimpl


@hookimpl
def prism_normalizers() -> Iterator[Normalizer]:
    """Offer the built-in media types."""
    yield Normalizer("application/json", json_in.normalize, json_out.encode)
    yield Normalizer("application/x-npy", npy.normalize, npy.encode)
    yield Normalizer("application/octet-stream", raw.normalize, raw.encode)
    yield Normalizer("application/vnd.prism.tensors", tensors.normalize, tensors.encode)
    yield Normalizer("text/csv", csv.normalize, csv.encode)
    yield Normalizer("text/plain", text.normalize)
    for media_type in images.FORMATS:
        yield Normalizer(media_type, partial(_image, media_type), available=images.available)


def _image(media_type: str, body: memoryview, signature: Signature, request: Request) -> Batch:
    return images.normalize(body, media_type, signature, request)
