"""How much a stranger's bytes may make us do: bounds for whatever reads an artifact or a request.

A few bytes can claim anything: a picture of a million by a million pixels, a file that
unpacks to a terabyte. Readers ask `Limits` before they believe it. The server's settings
hold them, and they reach the runtime with the rest of what a replica is told.
"""

from __future__ import annotations

from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.errors import ArtifactTooLarge, MalformedBody, PayloadTooLarge
from prism_core.sizes import Bytes

Count = Annotated[int, Meta(ge=1)]
# Python itself goes no deeper than 1000, and what reads a body stands on some of that.
Depth = Annotated[int, Meta(ge=1, le=400)]

# Below it a ratio says nothing: a small file of zeros shrinks a thousandfold, and harms nobody.
RATIO_FROM_BYTES = 64 * 1024 * 1024
# The same for the body of a request, of which many arrive at a time.
BODY_RATIO_FROM_BYTES = 8 * 1024 * 1024


@attrs.frozen
class Limits:
    """Bounds on what is read; ``docs/reference/settings.md`` has each under ``limits``.

    Parameters
    ----------
    max_files
        Files and directories of an artifact.
    max_unpacked
        Bytes that a compressed artifact may unpack to.
    max_ratio
        How many times larger than its file that may be, from 64 MB on.
    max_body
        Bytes of one request's body, as it is or unpacked.
    max_depth
        How deep JSON, and the messages of an ONNX file, may be nested.
    max_values
        Values of one request that are made one by one: numbers and texts of JSON, cells, lines.
    max_pixels
        Pixels of all pictures of one request.
    """

    max_files: Count = 100_000
    max_unpacked: Bytes = 8192 * 1024 * 1024
    max_ratio: Count = 200
    max_body: Bytes = 64 * 1024 * 1024
    # protobuf's own bound, which every reader of ONNX has; nobody nests a table as deep.
    max_depth: Depth = 100
    max_values: Count = 8 * 1024 * 1024
    # Beyond any camera's picture that a model wants, and 150 MB when decoded.
    max_pixels: Count = 8192 * 6144

    def check_unpacked(self, packed_bytes: int, unpacked_bytes: int) -> None:
        """Refuse what has unpacked to too much; to be asked while it is unpacked, not after.

        Parameters
        ----------
        packed_bytes
            The size of the compressed file, or of the member of an archive.
        unpacked_bytes
            What has come out of it so far.

        Raises
        ------
        ArtifactTooLarge
            If that is more than ``max_unpacked``, or than ``max_ratio`` allows.
        """
        if unpacked_bytes > self.max_unpacked:
            raise ArtifactTooLarge(
                f"The artifact unpacks to more than {self.max_unpacked} bytes.",
                hint="Save it without compression, or raise limits.max_unpacked in prism.yaml.",
            )
        if unpacked_bytes > max(RATIO_FROM_BYTES, self.max_ratio * packed_bytes):
            raise ArtifactTooLarge(
                f"The artifact unpacks to more than {self.max_ratio} times its {packed_bytes} bytes.",
                hint="Save it without compression, or raise limits.max_ratio in prism.yaml.",
            )

    def check_body(self, packed_bytes: int, unpacked_bytes: int) -> None:
        """Refuse a body that has unpacked to too much; to be asked while it is unpacked, not after.

        Parameters
        ----------
        packed_bytes
            What was sent.
        unpacked_bytes
            What has come out of it so far.

        Raises
        ------
        PayloadTooLarge
            If that is more than ``max_body``, or than ``max_ratio`` allows.
        """
        if unpacked_bytes > self.max_body:
            raise PayloadTooLarge(
                f"The body unpacks to more than {self.max_body} bytes.",
                hint="Send fewer rows at a time; limits.max_body is the server's setting.",
            )
        if unpacked_bytes > max(BODY_RATIO_FROM_BYTES, self.max_ratio * packed_bytes):
            raise PayloadTooLarge(
                f"The body unpacks to more than {self.max_ratio} times its {packed_bytes} bytes.",
                hint="Send it as it is; limits.max_ratio is the server's setting.",
            )

    def check_values(self, count: int) -> None:
        """Refuse a request of too many values; to be asked before they are made.

        Raises
        ------
        PayloadTooLarge
            If ``count`` is more than ``max_values``.
        """
        if count > self.max_values:
            raise PayloadTooLarge(
                f"The request holds more than {self.max_values} values.",
                hint="Send fewer rows at a time; limits.max_values is the server's setting.",
            )

    def check_pixels(self, count: int) -> None:
        """Refuse pictures of too many pixels; to be asked before they are decoded.

        Raises
        ------
        PayloadTooLarge
            If ``count`` is more than ``max_pixels``.
        """
        if count > self.max_pixels:
            raise PayloadTooLarge(
                f"The request has {count} pixels, read or made; at most {self.max_pixels} are taken.",
                hint="Send smaller pictures, or fewer at a time; limits.max_pixels is the server's setting.",
            )

    def check_depth(self, value: object) -> None:
        """Refuse decoded JSON that is nested too deep.

        Raises
        ------
        MalformedBody
            If lists and objects stand more than ``max_depth`` deep in each other.
        """
        level = [value]
        for _ in range(self.max_depth):
            level = [inner for outer in level for inner in _inside(outer)]
            if not level:
                return
        raise self.too_deep()

    def too_deep(self) -> MalformedBody:
        """Return the error of a body that is nested deeper than it may be, or than can be read."""
        return MalformedBody(
            f"The body is nested more than {self.max_depth} levels deep.",
            hint="Send plain lists of rows; limits.max_depth is the server's setting.",
        )


def _inside(value: object) -> list[object]:
    """Return the lists and objects that stand in ``value``."""
    if isinstance(value, dict):
        return [one for one in value.values() if isinstance(one, dict | list)]
    return [one for one in value if isinstance(one, dict | list)] if isinstance(value, list) else []
