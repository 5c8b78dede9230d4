"""``application/x-npy``: one array, as ``numpy.save`` writes it. Never a pickle.

The header is parsed here and remembered by its bytes: numpy's own parser takes 20 us, and
an array is a view of the body.
"""

from __future__ import annotations

import ast
import io
import math
from functools import lru_cache
from typing import Any

import attrs
import numpy as np

from prism_core.fitting.faults import quote, quote_shape
from prism_core.fitting.fit import fit_only, stays
from prism_core.inputs.pieces import Steps
from prism_core.plugin import Answer, Batch, MalformedBody, NotAcceptable, Request, Signature

MAGIC = b"\x93NUMPY"
# numpy's own limit; literal_eval of more is a way to keep a server busy.
MAX_HEADER_BYTES = 10_000
HINT = "numpy.save(file, array, allow_pickle=False) writes what is read here."


@attrs.frozen
class Header:
    """What an .npy header says."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch of the one array in ``body``.

    Raises
    ------
    MalformedBody
        If it is not an .npy file, or not as long as its header says.
    InvalidInput
        If the array does not fit the signature.
    PayloadTooLarge
        If it holds more texts than the server takes values.
    """
    array = load(body)
    if array.dtype.kind == "U":
        request.limits.check_values(array.size)
    return fit_only(array, signature, "An .npy body")


def normalize_steps(body: memoryview, signature: Signature, request: Request) -> Steps:
    """As `normalize`, where the array is a view of the body; None: its values have to be converted."""
    return normalize(body, signature, request) if stays([load(body).dtype], signature) else None
    yield


def load(body: memoryview) -> np.ndarray[Any, Any]:
    """Return the array in ``body``, a view of it."""
    start, length_bytes = len(MAGIC) + 2, 2 if bytes(body[6:7]) == b"\x01" else 4
    data_at = start + length_bytes
    if bytes(body[: len(MAGIC)]) != MAGIC or len(body) < data_at:
        raise MalformedBody("The body is not an .npy file.", hint=HINT)
    header_bytes = int.from_bytes(body[start:data_at], "little")
    if header_bytes > MAX_HEADER_BYTES or len(body) < data_at + header_bytes:
        raise MalformedBody(f"The .npy header is said to have {header_bytes} bytes.", hint=HINT)
    data_at += header_bytes
    header = _header(bytes(body[:data_at]), start + length_bytes)
    needed = math.prod(header.shape) * header.dtype.itemsize
    if len(body) - data_at != needed:
        raise MalformedBody(
            f"The .npy header promises {quote(needed)} bytes, the body has {len(body) - data_at}."
        )
    try:
        flat: np.ndarray[Any, Any] = np.frombuffer(body, header.dtype, offset=data_at)
        return flat.reshape(header.shape, order="F" if header.fortran_order else "C")
    except ValueError:
        raise MalformedBody(f"No array has the shape {quote_shape(header.shape)}.", hint=HINT) from None


@lru_cache(maxsize=256)
def _header(head: bytes, at: int) -> Header:
    try:
        if head[6] not in (1, 2, 3):
            raise ValueError("an unknown version")
        said = ast.literal_eval(head[at:].decode("utf-8" if head[6] == 3 else "latin1").strip())
        if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
            raise ValueError("other keys than descr, fortran_order and shape")
        shape = said["shape"]
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("a shape that is none")
        return Header(_dtype(said["descr"]), shape, bool(said["fortran_order"]))
    except (ValueError, TypeError, SyntaxError, KeyError, IndexError, MemoryError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else "nothing readable"
        raise MalformedBody(f"The .npy header holds {why[:80]}.", hint=HINT) from None


def _dtype(description: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(description)
    if dtype.hasobject:
        raise ValueError("Python objects, which are pickles and are not read")
    if dtype.itemsize == 0 or dtype.subdtype:
        raise ValueError("a type that is not an array's")
    return dtype


def encode(answer: Answer) -> bytes:
    """Return the primary output as an .npy file.

    Raises
    ------
    NotAcceptable
        If it is no array of numbers or strings.
    """
    file = io.BytesIO()
    np.save(file, primary(answer), allow_pickle=False)
    return file.getvalue()


def primary(answer: Answer) -> np.ndarray[Any, Any]:
    """Return the output that stands for the answer where only one can be written."""
    tensors = answer.outputs.tensors
    name = answer.signature.predictions
    value = tensors[name] if name in tensors else next(iter(tensors.values()))
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "O":
            return value
        if all(isinstance(one, str) for one in value.flat):
            return value.astype(str)
    raise NotAcceptable(
        f"The output {name!r} is not an array of numbers or strings.", hint="Ask for JSON, which can hold it."
    )
