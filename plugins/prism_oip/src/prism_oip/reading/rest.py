"""``application/vnd.prism.oip`` on its way in: JSON, perhaps with raw tensors behind it, or one alone."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from prism_core.plugin import (
    LARGE_BYTES,
    Batch,
    Faults,
    Limits,
    MalformedBody,
    Request,
    Signature,
    check_values,
    check_values_steps,
    fit,
    quote,
    stays,
)
from prism_oip import parameters
from prism_oip.reading import document, laid, pieces, quick, raw, raw_only, refusing, values
from prism_oip.reading.asked import asked
from prism_oip.reading.document import Document, Tensor
from prism_oip.reading.packing import unpack, unpacking
from prism_oip.reading.pieces import PIECE_BYTES
from prism_oip.reply import PLAIN, Reply

Array = np.ndarray[Any, Any]

STRINGS = np.dtype(object)


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch that ``body`` means; numbers that have the model's types already are not copied.

    Raises
    ------
    MalformedBody
        If it is no request of the protocol, or says something of itself that is not so.
    InvalidInput
        If it does not fit the signature.
    PayloadTooLarge
        If it holds more values than the server takes, or unpacks to more bytes.
    TakesLong
        If it is waited for, and unpacks to a large one.
    """
    if packing := request.parameters.get("encoding"):
        body = unpack(body, packing, request)
    return _unpacked(body, signature, request)


def _unpacked(body: memoryview, signature: Signature, request: Request) -> Batch:
    header_bytes = _header_bytes(request, len(body))
    if not header_bytes:
        return _raw_only(body, signature, request)
    head = body[:header_bytes]
    check_values(head, request.limits, escapes=True)
    if header_bytes == len(body) and (found := quick.read(head, signature)) is not None:
        said, arrays = found
        outputs, reply = _asked(said, _packing(request))
        return Batch(arrays, outputs, _of_model(said), reply)
    return batch_of(_told(head, signature, request), body[header_bytes:], signature, request.limits)


def normalize_steps(
    body: memoryview, signature: Signature, request: Request, piece_bytes: int = PIECE_BYTES
) -> Generator[None, None, Batch | None]:
    """As `normalize`, in steps, where values are numbers or JSON of a usual form; None: ask that."""
    if packing := request.parameters.get("encoding"):
        unpacked = bytearray()
        yield from unpacking(body, packing, request.limits, unpacked)
        body = memoryview(unpacked)
    header_bytes = _header_bytes(request, len(body))
    if header_bytes < len(body):
        return _staying(body, header_bytes, signature, request)
    yield from check_values_steps(body, request.limits, escapes=True)
    found = yield from pieces.read(body, signature, request, piece_bytes)
    if found is None:
        return None
    said, arrays = found
    outputs, reply = _asked(said, _packing(request))
    return fit(arrays, signature, outputs, _of_model(said), reply)


def _staying(body: memoryview, header_bytes: int, signature: Signature, request: Request) -> Batch | None:
    """Return the batch of raw tensors, all or nearly, that the model takes as they are; else None."""
    if not header_bytes:
        texts = any(spec.datatype == raw.BYTES for spec in signature.inputs)
        return None if texts else _raw_only(body, signature, request)
    if header_bytes > LARGE_BYTES:
        return None
    head = body[:header_bytes]
    check_values(head, request.limits, escapes=True)
    told = _told(head, signature, request)
    if not stays([raw.NUMBERS.get(tensor.datatype, STRINGS) for tensor in told.inputs], signature):
        return None
    return batch_of(told, body[header_bytes:], signature, request.limits)


def _header_bytes(request: Request, size: int) -> int:
    """Return how many bytes of JSON the body begins with."""
    written = request.parameters.get("header")
    if written is None:
        return size or 1  # nothing at all is no raw tensor either
    if not (written.isascii() and written.isdecimal() and len(written) < 20 and int(written) <= size):
        raise MalformedBody(
            f"Inference-Header-Content-Length is {quote(written)}, the body has {size} bytes.",
            hint="It is the length of the JSON at the body's beginning, before any tensors, unpacked.",
        )
    return int(written)


def _raw_only(body: memoryview, signature: Signature, request: Request) -> Batch:
    spec = raw_only.spec_of(signature)
    faults = Faults()
    shape = raw_only.shape_of(spec, len(body), batch_axis=signature.batch_axis)
    if spec.datatype == raw.BYTES:
        tensor = raw.one_text(spec.name, shape, body, faults)
    else:
        tensor = raw.read(spec.name, spec.datatype, shape, body, faults, request.limits)
    faults.check()
    return fit({spec.name: tensor}, signature, reply=Reply(raw=True, packing=_packing(request)))


class Told(msgspec.Struct, frozen=True):
    """What the JSON of a request says: the inputs, what the model is given, and how the answer is to be."""

    inputs: list[Tensor]
    own: dict[str, Any]
    outputs: tuple[str, ...]
    reply: Reply
    plan: laid.Plan | None = None


def batch_of(told: Told, behind: memoryview, signature: Signature, limits: Limits) -> Batch:
    """Return the batch of a decoded request; ``behind`` are its raw tensors."""
    if told.plan is not None and (known := laid.read(told.plan, behind)) is not None:
        return Batch(known, told.outputs, dict(told.own), told.reply)
    faults = Faults()
    names = [tensor.name for tensor in told.inputs]
    refusing.check_count(names, signature)
    arrays = _arrays(told.inputs, behind, signature, faults, limits)
    refusing.check_values(faults, names, signature)
    return fit(arrays, signature, told.outputs, dict(told.own), told.reply)


# JSON that was read before: of clients who send raw tensors it is the same each time.
_known: dict[tuple[bytes, str, Signature], Told] = {}
REMEMBERED, REMEMBERED_BYTES = 256, 1024


def _told(head: memoryview, signature: Signature, request: Request) -> Told:
    packing = _packing(request)
    if len(head) > REMEMBERED_BYTES:
        return _read(head, packing, request.limits)
    key = (bytes(head), packing, signature)
    told = _known.get(key)
    if told is None:
        told = _read(head, packing, request.limits)
        if all(tensor.data is UNSET for tensor in told.inputs):  # else it holds the whole body
            if len(_known) >= REMEMBERED:
                _known.clear()
            told = _known[key] = msgspec.structs.replace(told, plan=laid.plan_of(told.inputs, signature))
    return told


def _read(head: memoryview, packing: str, limits: Limits) -> Told:
    said = document.read(head, limits)
    outputs, reply = _asked(said, packing)
    return Told(said.inputs, _of_model(said), outputs, reply)


def _of_model(said: Document) -> dict[str, Any]:
    return parameters.of_model(said.parameters) if said.parameters else {}


def _arrays(
    tensors: list[Tensor], behind: memoryview, signature: Signature, faults: Faults, limits: Limits
) -> dict[str, Array]:
    """Return the tensors by name; what is wrong with any of them is told of all."""
    arrays: dict[str, Array] = {}
    wrong: list[MalformedBody] = []
    at = 0
    for tensor in tensors:
        try:
            if tensor.name in arrays:
                raise refusing.twice(tensor.name)
            size = _raw_bytes(tensor)
            if size is None:
                array = values.read(tensor, signature, faults, limits)
            else:
                at += size
                array = _raw(tensor, behind, at - size, at, faults, limits)
            arrays[tensor.name] = _NONE if array is None else array
        except MalformedBody as error:
            wrong.append(error)
    if not wrong and at != len(behind):
        wrong.append(_too_long(len(behind), at))
    refusing.raise_all(wrong)
    return arrays


# Stands for a tensor whose faults are noted: nobody looks at it.
_NONE: Array = np.empty(0)


def _raw_bytes(tensor: Tensor) -> int | None:
    """Return the size of a raw tensor, None for one whose values are JSON."""
    size = None
    if tensor.parameters:
        parameters.check(tensor.parameters, f"Input {quote(tensor.name)}")
        size = tensor.parameters.get("binary_data_size")
        if size is not None and (type(size) is not int or size < 0):
            raise MalformedBody(
                f'"binary_data_size" of input {quote(tensor.name)} is {quote(size)}, not a number of bytes.'
            )
    data = tensor.data
    if size == 0 and data is not UNSET and bytes(data) == b"null":  # KServe's client, of an empty tensor
        return 0
    if (size is None) is (data is UNSET):
        both = "both" if size is not None else "neither"
        raise MalformedBody(
            f'Input {quote(tensor.name)} has {both} of "data" and the parameter "binary_data_size".',
            hint='Values stand in "data", or raw behind the JSON.',
        )
    return size


def _raw(tensor: Tensor, behind: memoryview, start: int, end: int, faults: Faults, limits: Limits) -> Array:
    if end > len(behind):
        raise MalformedBody(
            f"Input {quote(tensor.name)} is to have {quote(end - start)} raw bytes; "
            f"{max(0, len(behind) - start)} are left behind the JSON.",
            hint="Inference-Header-Content-Length is the length of the JSON, after which they begin.",
        )
    return raw.read(tensor.name, tensor.datatype, tensor.shape, behind[start:end], faults, limits)


def _too_long(size: int, used: int) -> MalformedBody:
    return MalformedBody(
        f"The body has {size} bytes behind its JSON, its raw tensors take {used}.",
        hint='Each raw tensor has its size as the parameter "binary_data_size".',
    )


def _asked(said: Document, packing: str) -> tuple[tuple[str, ...], Reply]:
    """Return the outputs that are asked for, and how the answer is to be."""
    outputs, raw, raw_of = asked(said.outputs, said.parameters)
    plain = not outputs and not raw and said.id is None and not packing
    return outputs, PLAIN if plain else Reply(said.id, bool(raw), raw_of, packing)


def _packing(request: Request) -> str:
    return request.parameters.get("answer", "")
