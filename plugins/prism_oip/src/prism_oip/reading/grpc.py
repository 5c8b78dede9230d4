"""``application/vnd.prism.oip.grpc``: a serialized ``ModelInferRequest`` -> the batch that it means.

Raw tensors, and packed floats of typed contents, are views of the body.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import zip_longest
from typing import Any

import numpy as np

from prism_core.plugin import Batch, Faults, Limits, MalformedBody, Request, Signature, fit, quote, stays
from prism_oip.parameters import check, of_model
from prism_oip.reading import message, raw, refusing, typed
from prism_oip.reading.asked import asked
from prism_oip.reading.message import Message, Tensor
from prism_oip.reply import Reply
from prism_oip.wire import Budget

Array = np.ndarray[Any, Any]

STRINGS = np.dtype(object)
HINT = "Send raw contents of all inputs, in their order, or of none."


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch of a serialized request.

    Raises
    ------
    MalformedBody
        If it is no such message, or tensors and their values do not belong together.
    InvalidInput
        If the tensors do not fit the model.
    PayloadTooLarge
        If they hold more values, made one by one, than the server takes.
    """
    budget = Budget()
    said = message.read(body, budget)
    own = of_model(said.parameters) if said.parameters else {}
    outputs, raw_output, _ = asked(said.outputs, said.parameters)
    arrays = _arrays(said, signature, request.limits, budget)
    # Raw for raw, typed for typed, unless the request says otherwise.
    reply = Reply(said.id or None, bool(said.raw) if raw_output is None else raw_output)
    return fit(arrays, signature, outputs, own, reply)


def normalize_steps(
    body: memoryview, signature: Signature, request: Request
) -> Generator[None, None, Batch | None]:
    """As `normalize`, where all tensors are views of the body; None: their values have to be converted."""
    said = message.read(body, Budget())
    dtypes = [raw.NUMBERS.get(one.datatype, STRINGS) for one in said.inputs]
    return normalize(body, signature, request) if said.raw and stays(dtypes, signature) else None
    yield


def _arrays(said: Message, signature: Signature, limits: Limits, budget: Budget) -> dict[str, Array]:
    """Return the tensors by name; what is wrong with any of them is told of all."""
    if said.raw and len(said.raw) != len(said.inputs):
        raise MalformedBody(
            f"The request has {len(said.inputs)} inputs and {len(said.raw)} raw_input_contents.", hint=HINT
        )
    faults = Faults()
    arrays: dict[str, Array] = {}
    wrong: list[MalformedBody] = []
    for one, data in zip_longest(said.inputs, said.raw):
        try:
            if one.name in arrays:
                raise refusing.twice(one.name)
            if one.parameters:
                check(one.parameters, f"Input {quote(one.name)}")
            if data is None:
                arrays[one.name] = typed.read(one, signature, faults, limits, budget)
            else:
                arrays[one.name] = _raw(one, data, faults, limits)
        except MalformedBody as error:
            wrong.append(error)
    refusing.raise_all(wrong)
    refusing.check_values(faults, arrays, signature)
    return arrays


def _raw(one: Tensor, data: memoryview, faults: Faults, limits: Limits) -> Array:
    if any(map(len, one.contents)):  # empty ones are what MLServer sends beside raw contents
        raise MalformedBody(
            f"Input {quote(one.name)} has contents, and the request has raw_input_contents.", hint=HINT
        )
    return raw.read(one.name, one.datatype, one.shape, data, faults, limits)
