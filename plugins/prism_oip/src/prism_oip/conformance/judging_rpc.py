"""Judge replies of gRPC, as `judging` does answers of REST; a message is asked for its fields alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prism_oip.conformance.exchange import Reply, Unmet
from prism_oip.conformance.judging import Inferred
from prism_oip.conformance.tensors import DATATYPES, Spec, Tensor, from_raw

# Where typed contents of a datatype are; none for those that go raw only.
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# Whose fault a code says it is: the one's who asks.
BLAMING = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "RESOURCE_EXHAUSTED",
    }
)


def succeeded(reply: Reply) -> Any:
    """Judge that a call succeeded with one message; return it."""
    messages = all_of(reply)
    if len(messages) != 1:
        raise Unmet("one message", str(len(messages)))
    return messages[0]


def all_of(reply: Reply) -> tuple[Any, ...]:
    """Judge that a call succeeded; return its messages."""
    if reply.fault:
        raise Unmet("an answer", reply.fault)
    if reply.code != "OK":
        raise Unmet("the status OK", f"{reply.code}: {reply.details}")
    return reply.messages


def refused(reply: Reply) -> Reply:
    """Judge that a call failed with a status and a text."""
    if reply.fault:
        raise Unmet("an answer", reply.fault)
    if reply.code == "OK":
        raise Unmet("a status that is not OK", "OK")
    if not reply.details:
        raise Unmet("a message of the status", "none")
    return reply


def blamed(reply: Reply) -> Reply:
    """Judge that a failure is told as the caller's, such as INVALID_ARGUMENT."""
    if refused(reply).code not in BLAMING:
        raise Unmet("a status such as INVALID_ARGUMENT, for it is the request that is wrong", reply.code)
    return reply


def spec_of(told: Any) -> Spec:
    """Judge a tensor in metadata."""
    if not told.name or told.datatype not in DATATYPES:
        raise Unmet("a tensor with a name and a datatype of the protocol", f"{told.name!r} {told.datatype!r}")
    on_request = "on_request" in told.parameters and told.parameters["on_request"].bool_param
    return Spec(told.name, told.datatype, tuple(told.shape), on_request)


def inferred(message: Any) -> Inferred:
    """Judge that a message is a whole ``ModelInferResponse``, its outputs typed or raw."""
    raw = list(message.raw_output_contents)
    if raw and len(raw) != len(message.outputs):
        raise Unmet(f"raw contents of all {len(message.outputs)} outputs, or of none", str(len(raw)))
    outputs = tuple(_output(one, raw[at] if raw else None) for at, one in enumerate(message.outputs))
    names = [one.name for one in outputs]
    if len(set(names)) < len(names):
        raise Unmet("each output once", ", ".join(names))
    told = {"model_name": message.model_name, "model_version": message.model_version, "id": message.id}
    return Inferred(told, outputs, frozenset(names if raw else ()))


def _output(told: Any, raw: bytes | None) -> Tensor:
    spec = spec_of(told)
    if any(size < 0 for size in spec.shape):
        raise Unmet(f"a shape of {spec.name!r} whose sizes are known", str(list(spec.shape)))
    if raw is not None:
        return from_raw(spec.name, spec.datatype, spec.shape, raw)
    if spec.datatype not in CONTENTS:
        raise Unmet(f"raw contents of {spec.name!r}, for {spec.datatype} has no typed ones", "none")
    return _typed(spec, list(getattr(told.contents, CONTENTS[spec.datatype])))


def _typed(spec: Spec, contents: Sequence[Any]) -> Tensor:
    count = 1
    for size in spec.shape:
        count *= size
    if len(contents) != count:
        raise Unmet(f"{count} elements in the contents of {spec.name!r}", str(len(contents)))
    if spec.datatype not in ("BOOL", "BYTES") and not spec.datatype.startswith("FP"):
        info = np.iinfo(DATATYPES[spec.datatype])
        if not all(info.min <= one <= info.max for one in contents):
            raise Unmet(f"elements of {spec.name!r} that {spec.datatype} can hold", str(contents)[:120])
    values = np.empty(len(contents), DATATYPES[spec.datatype])
    values[:] = contents
    return Tensor(spec.name, spec.datatype, values.reshape(spec.shape))
