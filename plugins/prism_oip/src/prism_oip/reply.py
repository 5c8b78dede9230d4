"""What a request says about its answer; it reaches the encoder as `Answer.reply`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """How an answer is to be.

    Parameters
    ----------
    id
        To be told again; None where none came.
    raw
        Whether outputs are raw tensors rather than JSON.
    raw_of
        The same for single outputs, by name.
    packing
        How the answer may be packed, of `prism_oip.media.ENCODINGS`.
    """

    id: str | None = None
    raw: bool = False
    raw_of: Mapping[str, bool] = {}
    packing: str = ""

    def is_raw(self, name: str) -> bool:
        """Whether the output ``name`` is raw."""
        return self.raw_of.get(name, self.raw)


PLAIN = Reply()
