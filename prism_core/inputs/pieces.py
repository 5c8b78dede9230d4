"""Tables that are read piece by piece, so that nobody waits for the whole of a large one.

A decoder holds the interpreter for as long as it decodes: tens of milliseconds for 10,000
rows of JSON, in which a replica answers nobody. `json_parts` and `csv_parts` cut such a
body between rows; here a piece becomes tensors, and all of them one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import lru_cache
from typing import Any

import attrs
import msgspec
import numpy as np

from prism_core.inputs.json_quick import Tensors, compiled
from prism_core.plugin import Batch, Signature

# Decoded in about half a millisecond.
PIECE_BYTES = 64 * 1024
# Columns that are joined in one step.
COLUMNS = 8

# What `Normalizer.normalize_steps` returns.
Steps = Generator[None, None, Batch | None]


def has_rows(signature: Signature) -> bool:
    """Whether the rows of two pieces together are the rows of a batch."""
    return signature.batch_axis and all(spec.shape and spec.shape[0] < 0 for spec in signature.inputs)


@lru_cache(maxsize=64)
def _compiled(signature: Signature) -> tuple[Callable[[bytes], Any], Callable[[Any], Tensors | None]]:
    quick = compiled(signature)
    return msgspec.json.Decoder(quick.kind).decode, quick.tensors


@attrs.define
class PieceReader:
    """Makes tensors of pieces, and one of each in the end. Raises `MISFITS` for what it cannot read."""

    decode: Callable[[bytes], Any]
    tensors: Callable[[Any], Tensors | None]
    kind: Any = None
    parts: list[Tensors] = attrs.field(factory=list)

    @classmethod
    def of(cls, signature: Signature) -> PieceReader:
        """Return a reader of rows for ``signature``."""
        return cls(*_compiled(signature))

    def read(self, rows: bytes | memoryview) -> None:
        """Take a piece: rows as JSON, with commas between them."""
        values = self.decode(b"".join((b"[", rows, b"]")))
        found = self.tensors(values) if values else None
        if found is None or (self.parts and type(values[0]) is not self.kind):
            raise ValueError("not plain rows, or of another form than the piece before")
        self.kind = type(values[0])
        self.parts.append(found)

    def joined(self) -> Generator[None, None, Tensors]:
        """Return all rows."""
        if not self.parts:
            raise ValueError("no rows")
        joined = {}
        for at, name in enumerate(self.parts[0]):
            joined[name] = np.concatenate([part[name] for part in self.parts])
            if at % COLUMNS == COLUMNS - 1:
                yield
        return joined
