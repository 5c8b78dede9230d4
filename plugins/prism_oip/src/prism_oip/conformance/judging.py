"""Judge answers of REST: each function takes one, and raises `Unmet` where it is not as the protocol says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from prism_oip.conformance.exchange import Answer, Unmet
from prism_oip.conformance.tensors import DATATYPES, Spec, Tensor, differ, from_list, from_raw

Kind = TypeVar("Kind")

HEADER = "inference-header-content-length"
KINDS: dict[type, str] = {
    str: "a string",
    list: "an array",
    dict: "an object",
    int: "a whole number",
    bool: "a boolean",
}


def arrived(answer: Answer) -> Answer:
    """Judge that there is an answer at all."""
    if answer.fault:
        raise Unmet("an answer", answer.fault)
    return answer


def succeeded(answer: Answer) -> Answer:
    """Judge that the status is 200."""
    if arrived(answer).status != 200:
        raise Unmet("status 200", f"status {answer.status}")
    return answer


def parsed(body: bytes) -> Any:
    """Judge that a body is JSON; return what it says."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unmet("a body of JSON", str(error)[:200]) from None


def object_of(answer: Answer) -> dict[str, Any]:
    """Judge that the answer is 200 and its body a JSON object; return that."""
    return of_kind(parsed(succeeded(answer).body), dict, "the body")


def of_kind(value: Any, kind: type[Kind], what: str) -> Kind:
    """Judge a value's JSON type; true and false are no numbers."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unmet(f"{KINDS[kind]} as {what}", repr(value)[:120])
    return value


def field(told: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """Judge that an object has a field of a type; return it."""
    if name not in told:
        raise Unmet(f"a field {name!r}", f"fields {sorted(told)}")
    return of_kind(told[name], kind, repr(name))


def optional(told: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """Judge a field that may be missing, or null as some servers write that; return it, or an empty one."""
    value = told.get(name)
    return kind() if value is None else of_kind(value, kind, repr(name))


def refused(answer: Answer) -> Answer:
    """Judge that the answer is an error as the protocol has it: an error status and ``{"error": TEXT}``."""
    if not 400 <= arrived(answer).status <= 599:
        raise Unmet("an HTTP error status, 400 to 599", f"status {answer.status}")
    told = of_kind(parsed(answer.body), dict, "the body of an error")
    if not field(told, "error", str).strip():
        raise Unmet("a message in 'error'", "an empty string")
    return answer


def blamed(answer: Answer) -> Answer:
    """Judge that an error is told as the client's: 400 to 499."""
    if not 400 <= arrived(answer).status <= 499:
        raise Unmet("a status of 400 to 499, for it is the request that is wrong", f"status {answer.status}")
    return answer


def typed(answer: Answer, media_type: str) -> Answer:
    """Judge the Content-Type, without its parameters."""
    found = arrived(answer).headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != media_type:
        raise Unmet(f"Content-Type: {media_type}", found or "none")
    return answer


def spec_of(told: Any) -> Spec:
    """Judge a tensor in a model's metadata."""
    entry = of_kind(told, dict, "a tensor")
    name, datatype = field(entry, "name", str), field(entry, "datatype", str)
    if datatype not in DATATYPES:
        raise Unmet(f"a datatype of the protocol for {name!r}", datatype)
    shape = [of_kind(size, int, f"a size of {name!r}") for size in field(entry, "shape", list)]
    if any(size < -1 for size in shape):
        raise Unmet(f"sizes of {name!r} that are -1, 0 or more", str(shape))
    parameters = optional(entry, "parameters", dict)
    return Spec(name, datatype, tuple(shape), parameters.get("on_request") is True)


@attrs.frozen(eq=False)
class Inferred:
    """A judged answer to a request for inference; ``raw`` are the outputs that came as bytes."""

    told: Mapping[str, Any]
    outputs: tuple[Tensor, ...]
    raw: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """The names of the outputs, as they came."""
        return [one.name for one in self.outputs]


def inferred(answer: Answer) -> Inferred:
    """Judge that an answer is a whole ``$inference_response``, in JSON or with raw tensors behind it."""
    head, tail = divided(succeeded(answer))
    told = of_kind(parsed(head), dict, "the body")
    field(told, "model_name", str)
    outputs: list[Tensor] = []
    raw: set[str] = set()
    for one in field(told, "outputs", list):
        size = _binary_size(of_kind(one, dict, "an output"))
        outputs.append(_output(one, None if size is None else tail[:size]))
        if size is not None:
            raw.add(outputs[-1].name)
            tail = tail[size:]
    if tail:
        raise Unmet("no bytes after those that 'binary_data_size' counts", f"{len(tail)} bytes more")
    _once("output", [one.name for one in outputs])
    return Inferred(told, tuple(outputs), frozenset(raw))


def divided(answer: Answer) -> tuple[bytes, bytes]:
    """Judge Inference-Header-Content-Length; return the JSON of a body and the bytes behind it."""
    if HEADER not in answer.headers:
        return answer.body, b""
    said = answer.headers[HEADER]
    if not (said.isascii() and said.isdigit() and len(said) < 20 and int(said) <= len(answer.body)):
        raise Unmet(f"Inference-Header-Content-Length within the {len(answer.body)} bytes of the body", said)
    return answer.body[: int(said)], answer.body[int(said) :]


def _binary_size(output: Mapping[str, Any]) -> int | None:
    parameters = optional(output, "parameters", dict)
    if "binary_data_size" not in parameters:
        return None
    size = field(parameters, "binary_data_size", int)
    if size < 0:
        raise Unmet("a 'binary_data_size' of 0 or more", str(size))
    return size


def _output(told: Mapping[str, Any], raw: bytes | None) -> Tensor:
    spec = spec_of(told)
    if any(size < 0 for size in spec.shape):
        raise Unmet(f"a shape of {spec.name!r} whose sizes are known", str(list(spec.shape)))
    if raw is not None:
        return from_raw(spec.name, spec.datatype, spec.shape, raw)
    return from_list(spec.name, spec.datatype, spec.shape, field(told, "data", list))


def _once(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise Unmet(f"each {what} once", ", ".join(names))


def fitting(outputs: Iterable[Tensor], specs: Sequence[Spec]) -> None:
    """Judge that outputs are those that the metadata promises: names, datatypes and shapes."""
    promised = {spec.name: spec for spec in specs}
    for one in outputs:
        spec = promised.get(one.name)
        if spec is None:
            raise Unmet(f"outputs of the metadata: {', '.join(promised)}", one.name)
        if one.datatype != spec.datatype:
            raise Unmet(f"{spec.name!r} as {spec.datatype}, as the metadata says", one.datatype)
        if not fits(one.shape, spec.shape):
            raise Unmet(
                f"{spec.name!r} of shape {list(spec.shape)}, as the metadata says", str(list(one.shape))
            )


def fits(shape: Sequence[int], promised: Sequence[int]) -> bool:
    """Return whether a shape is one of those that a shape with -1 in it promises."""
    pairs = list(zip(shape, promised, strict=False))
    return len(shape) == len(promised) and all(wanted in (-1, size) for size, wanted in pairs)


def alike(one: Sequence[Tensor], other: Sequence[Tensor], what: str) -> None:
    """Judge that two answers say the same, whatever the order of their outputs."""
    named = {tensor.name: tensor for tensor in other}
    if {tensor.name for tensor in one} != set(named):
        raise Unmet(f"the same outputs {what}", f"{[t.name for t in one]}, and {list(named)}")
    differences = [text for tensor in one if (text := differ(tensor, named[tensor.name]))]
    if differences:
        raise Unmet(f"the same answer {what}", "; ".join(differences))


def equal(value: object, wanted: object, what: str) -> None:
    """Judge that a value is the one that is wanted."""
    if value != wanted:
        raise Unmet(f"{wanted!r} as {what}", repr(value)[:120])


def all_of(*judgements: Callable[[Answer], Answer]) -> Callable[[Answer], Answer]:
    """Return a judgement that is made of several, in their order."""

    def judge(answer: Answer) -> Answer:
        for one in judgements:
            one(answer)
        return answer

    return judge
