"""One answer of those of an ensemble's members, in the runtime of one of them: its model is not asked.

It reads the client's request again, for what the answer's encoder wants of it, and writes with the
encoder that the client asked for: whatever protocols there are, ensembles speak them all.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import attrs
import msgspec
import numpy as np

from prism_core import wire
from prism_core.errors import InvalidInput, PrismError
from prism_core.filling import LARGE_BYTES
from prism_core.fitting.tensors import unpack
from prism_core.runtime.large import LargeRequests
from prism_core.runtime.session import JSON, Session
from prism_core.runtime.turns import Job
from prism_core.specs import Answer, TakesLong
from prism_core.traffic.combination import JOIN, Combination
from prism_core.traffic.combining import combine, join
from prism_core.types import Batch, Signature, TensorSpec, datatype_of

NPY = "application/x-npy"
# Combinations and forms of answers that are remembered: a few a route that leads here.
REMEMBERED = 64

_decode = msgspec.msgpack.Decoder(Combination).decode


@attrs.frozen
class Combined:
    """An answer in bytes, and what it cost."""

    media_type: str
    body: bytes | bytearray
    rows: int
    compute_s: float


class Combiner:
    """Combines for one session.

    Parameters
    ----------
    session
        Whose normalizers read and write.
    large
        Does what takes long.
    """

    def __init__(self, session: Session, large: LargeRequests) -> None:
        self._session = session
        self._large = large
        self._known: dict[bytes, Combination] = {}
        self._described: dict[Hashable, Signature] = {}

    def begin(
        self, call: wire.Combine, body: memoryview, done: Callable[[Combined | Exception], None]
    ) -> Job | None:
        """Combine; ``done`` is called once, at once or, where a job is returned, later on the loop."""
        found: Combined | Exception
        try:
            if len(body) >= LARGE_BYTES:
                raise TakesLong
            found = self.combine(call, body)
        except TakesLong:
            return self._large.do(partial(self.combine, call, body, waited_for=False), done)
        except Exception as error:
            found = error
        done(found)
        return None

    def combine(self, call: wire.Combine, body: memoryview, *, waited_for: bool = True) -> Combined:
        """Return the answer to ``call``.

        Raises
        ------
        PrismError
            If the members' answers make none, or it cannot be written as the client asks.
        TakesLong
            If it should not be ``waited_for``.
        """
        begun = time.perf_counter()
        combination = self._combination(call.combination)
        request, *parts = _parts(body, call.sizes)
        members = [combination.members[at] for at in call.members]
        answers = [(one, unpack(part).tensors) for one, part in zip(members, parts, strict=True)]
        if combination.how == JOIN:
            matrix = join(answers)
            return Combined(NPY, _npy(matrix), len(matrix), time.perf_counter() - begun)
        asked, reply = self._session.read_reply(request, call.media_type, call.query, waited_for=waited_for)
        writer = self._session.writer(call.accept)
        tensors = combine(combination, answers)
        primary = combination.labels or combination.probabilities
        outputs = Batch(_chosen(tensors, asked, "" if call.style == "v1" else primary, writer.media_type))
        signature = self._signature(tensors, primary, combination.classes)
        answer = Answer(
            members[0].model, members[0].version, outputs, signature, call.style or "prism", reply, waited_for
        )
        assert writer.encode is not None
        written = writer.encode(answer)
        return Combined(writer.media_type, written, _rows(tensors), time.perf_counter() - begun)

    def failure(self, error: Exception) -> PrismError:
        """Return what is told of an exception."""
        return error if isinstance(error, PrismError) else self._session.internal("Combining", error)

    def _combination(self, told: bytes) -> Combination:
        known = self._known.get(told)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[told] = _decode(told)
        return known

    def _signature(self, tensors: Mapping[str, Any], primary: str, classes: tuple[Any, ...]) -> Signature:
        """Return what the answer's encoder is told of it."""
        key = (primary, classes, tuple([(name, _kind(tensor)) for name, tensor in tensors.items()]))
        known = self._described.get(key)
        if known is None:
            if len(self._described) >= REMEMBERED:
                self._described.clear()
            specs = tuple(_spec(name, tensor) for name, tensor in tensors.items())
            known = self._described[key] = Signature((), specs, classes=classes, primary=primary)
        return known


def _parts(body: memoryview, sizes: list[int]) -> list[memoryview]:
    if sum(sizes) != len(body):
        raise ValueError(f"The parts take {sum(sizes)} bytes, the body has {len(body)}.")
    return [body[start:stop] for start, stop in pairwise(accumulate(sizes, initial=0))]


def _chosen(
    tensors: Mapping[str, Any], asked: tuple[str, ...], primary: str, media_type: str
) -> Mapping[str, Any]:
    """Return the outputs that were asked for; our own JSON always holds the ``primary`` one."""
    if not asked:
        return tensors
    for name in asked:
        if name not in tensors:
            raise InvalidInput(f"The ensemble has no output {name!r}; it has {', '.join(sorted(tensors))}.")
    if media_type == JSON and primary and primary not in asked:
        asked = (primary, *asked)
    return {name: tensors[name] for name in asked}


def _kind(tensor: Any) -> Hashable:
    return (tensor.dtype.char, tensor.shape[1:]) if isinstance(tensor, np.ndarray) else None


def _spec(name: str, tensor: Any) -> TensorSpec:
    if not isinstance(tensor, np.ndarray):
        return TensorSpec(name, "BYTES", (-1,))
    return TensorSpec(name, datatype_of(tensor.dtype), (-1, *tensor.shape[1:]))


def _rows(tensors: Mapping[str, Any]) -> int:
    return Batch(tensors).rows


def _npy(matrix: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, matrix, allow_pickle=False)
    return file.getvalue()
