"""What gateway and runtime say to each other about a body: two media types and a prefix.

``application/vnd.prism.oip`` is a request of the REST protocol as it came, JSON, perhaps with raw
tensors behind it. Its parameters are what the head said: ``header``, the bytes of JSON
(Inference-Header-Content-Length; missing where all is JSON, 0 where nothing is), ``encoding``, how the
body is packed, and ``answer``, how the answer may be. The answer begins with a prefix, which the
gateway takes off.

``application/vnd.prism.oip.grpc`` is a serialized ``ModelInferRequest``; the answer is a
``ModelInferResponse``.
"""

from __future__ import annotations

import struct

REST = "application/vnd.prism.oip"
GRPC = "application/vnd.prism.oip.grpc"

# Of an answer: bytes of JSON at its beginning, 0 where all of it is; and how it is packed, of `ENCODINGS`.
PREFIX = struct.Struct("<II")
ENCODINGS = ("", "gzip", "deflate")
