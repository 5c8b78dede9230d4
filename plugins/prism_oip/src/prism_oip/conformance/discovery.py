"""Find out what there is to ask: extensions, models, and for each model a request that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from prism_oip.conformance.exchange import RestSteps, Unmet
from prism_oip.conformance.judging import (
    Inferred,
    alike,
    field,
    inferred,
    object_of,
    of_kind,
    parsed,
    spec_of,
    succeeded,
)
from prism_oip.conformance.subject import (
    Model,
    Subject,
    asking,
    binary,
    get,
    in_bytes,
    infer,
    model_path,
    post,
)
from prism_oip.conformance.tensors import NOT_IN_JSON, Tensor, from_list, made

# So many models of an index are asked, where none is named.
MAX_MODELS = 8
# A larger request is not made: it would test the network.
MAX_ELEMENTS = 1 << 22
BY_HAND = "give one that it takes with --input FILE"


def advertised(*, managing: bool = False) -> RestSteps[frozenset[str]]:
    """Ask which extensions the server has; none where it does not tell."""
    try:
        told = object_of((yield attrs.evolve(get("v2"), managing=managing)))
        return frozenset(one for one in told.get("extensions") or () if isinstance(one, str))
    except (Unmet, TypeError):
        return frozenset()


def known_models() -> RestSteps[tuple[str, ...]]:
    """Ask which models there are, by the repository's index or by a list as KServe's servers have it."""
    try:
        index = of_kind(parsed(succeeded((yield post("v2/repository/index"))).body), list, "the body")
        names = [one["name"] for one in index if _ready(one)]
    except Unmet:
        try:
            names = [one for one in field(object_of((yield get("v2/models"))), "models", list)]
        except Unmet:
            names = []
    found = [name for name in dict.fromkeys(names) if isinstance(name, str)]
    return tuple(found[:MAX_MODELS])


def _ready(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and entry.get("state") in ("READY", None)
    )


def described(name: str) -> RestSteps[Model]:
    """Ask for a model's metadata; what is wrong with it leaves the model without tensors or versions."""
    subject = Subject(model=Model(name))
    try:
        told = object_of((yield get(model_path(subject))))
        sides = [tuple(spec_of(one) for one in field(told, side, list)) for side in ("inputs", "outputs")]
    except Unmet:
        return Model(name)
    listed = told.get("versions")
    versions = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return Model(name, tuple(versions), *sides)


def given(text: bytes) -> tuple[Tensor, ...]:
    """Read a request that a user gives, ``$inference_request`` in JSON.

    Raises
    ------
    Unmet
        If it is none.
    """
    inputs = field(of_kind(parsed(text), dict, "the request"), "inputs", list)
    tensors: list[Tensor] = []
    for one in inputs:
        spec = spec_of(one)
        tensors.append(from_list(spec.name, spec.datatype, spec.shape, field(one, "data", list)))
    if not tensors:
        raise Unmet("inputs", "none")
    return tuple(tensors)


def prepared(subject: Subject, inputs: Sequence[Tensor] = ()) -> RestSteps[Subject]:
    """Find a request that the model takes, and what it answers to it, twice.

    Without ``inputs`` requests are made from the metadata.
    """
    reason = f"the model's metadata tells no inputs, or very large ones: {BY_HAND}"
    for candidate in [tuple(inputs)] if inputs else candidates(subject.model):
        try:
            first = yield from _answered(subject, candidate)
        except Unmet as unmet:
            reason = f"the model took no request made from its metadata ({unmet.found}): {BY_HAND}"
            continue
        return attrs.evolve(
            subject,
            inputs=candidate,
            outputs=first.outputs,
            steady=(yield from _again(subject, candidate, first)),
        )
    # Refused: the checks of inference ask it all the same, and show what came.
    asked = tuple(inputs) or next(candidates(subject.model), ())
    return attrs.evolve(subject, inputs=asked, reason=reason)


def candidates(model: Model) -> Iterator[tuple[Tensor, ...]]:
    """Make requests from the metadata, the likeliest first."""
    sizes = [math.prod(2 if size < 0 else size for size in spec.shape) for spec in model.inputs]
    if model.inputs and sum(sizes) <= MAX_ELEMENTS:
        for free, plain in ((1, False), (1, True), (2, False)):
            yield tuple(made(spec, free=free, plain=plain) for spec in model.inputs)


def _answered(subject: Subject, inputs: Sequence[Tensor]) -> RestSteps[Inferred]:
    """Ask in JSON, or in bytes where JSON has no form for a datatype."""
    try:
        return inferred((yield infer(subject, asking(inputs))))
    except Unmet:
        specs = (*subject.model.inputs, *subject.model.outputs)
        if not any(spec.datatype in NOT_IN_JSON for spec in specs):
            raise
    head = {"inputs": [in_bytes(one) for one in inputs], "parameters": {"binary_data_output": True}}
    return inferred((yield binary(subject, head, b"".join(one.raw() for one in inputs))))


def _again(subject: Subject, inputs: Sequence[Tensor], first: Inferred) -> RestSteps[bool]:
    try:
        second = yield from _answered(subject, inputs)
        alike(first.outputs, second.outputs, "for equal inputs")
    except Unmet:
        return False
    return True
