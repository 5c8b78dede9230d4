"""The binary tensor data extension: raw tensors behind the JSON, in requests and answers."""

from __future__ import annotations

from prism_oip.conformance.check import EXTENSION, group
from prism_oip.conformance.exchange import RestSteps, Unmet, Untried
from prism_oip.conformance.judging import HEADER, Inferred, alike, arrived, inferred, refused, succeeded
from prism_oip.conformance.subject import Subject, asking, binary, in_bytes, infer, model_path, post, told

check = group("binary", extension="binary_tensor_data")

OF_ALL = {"binary_data_output": True}


def _all_in_bytes(subject: Subject) -> tuple[dict[str, object], bytes]:
    inputs = subject.asked()
    return {"inputs": [in_bytes(one) for one in inputs]}, b"".join(one.raw() for one in inputs)


def _raw(got: Inferred, names: set[str]) -> None:
    if got.raw != names:
        raise Unmet(f"as bytes: {sorted(names)}", f"as bytes: {sorted(got.raw)}")


@check(EXTENSION, "binary_data_size of an input")
def inputs(subject: Subject) -> RestSteps[None]:
    """Inputs whose bytes follow the JSON are answered as those in JSON."""
    head, tail = _all_in_bytes(subject)
    got = inferred((yield binary(subject, head, tail)))
    alike(got.outputs, subject.answered(), "for bytes and for JSON")


@check(EXTENSION, "binary_data_output of a request")
def outputs(subject: Subject) -> RestSteps[None]:
    """``binary_data_output`` brings all outputs as bytes, counted by the header, with the same content."""
    got = inferred((yield infer(subject, asking(subject.asked(), parameters=OF_ALL))))
    _raw(got, set(got.names))
    alike(got.outputs, subject.answered(), "in bytes and in JSON")


@check(EXTENSION, "Inference-Header-Content-Length of an answer")
def header(subject: Subject) -> RestSteps[None]:
    """An answer with bytes has ``Inference-Header-Content-Length``; one without bytes may do without."""
    answer = succeeded((yield infer(subject, asking(subject.asked(), parameters=OF_ALL))))
    if HEADER not in answer.headers:
        raise Unmet("a header Inference-Header-Content-Length", f"headers {sorted(answer.headers)}")


@check(EXTENSION, "binary_data of an output")
def one_output(subject: Subject) -> RestSteps[None]:
    """``binary_data`` brings one output as bytes, the others in JSON."""
    names = [one.name for one in subject.answered()]
    asked = [{"name": name} for name in names[1:]] + [{"name": names[0], "parameters": {"binary_data": True}}]
    got = inferred((yield infer(subject, asking(subject.asked(), outputs=asked))))
    _raw(got, {names[0]})
    alike(got.outputs, subject.answered(), "in bytes and in JSON")


@check(EXTENSION, "binary_data overrides binary_data_output")
def override(subject: Subject) -> RestSteps[None]:
    """``binary_data: false`` of an output is stronger than ``binary_data_output``."""
    names = [one.name for one in subject.answered()]
    asked = [{"name": name, "parameters": {"binary_data": False}} for name in names]
    got = inferred((yield infer(subject, asking(subject.asked(), outputs=asked, parameters=OF_ALL))))
    _raw(got, set())


@check(EXTENSION, "binary_data_output of a request")
def named_outputs(subject: Subject) -> RestSteps[None]:
    """``binary_data_output`` is of all outputs, of those that the request names, too."""
    names = [one.name for one in subject.answered()]
    asked = [{"name": name} for name in names]
    got = inferred((yield infer(subject, asking(subject.asked(), outputs=asked, parameters=OF_ALL))))
    _raw(got, set(names))


@check(EXTENSION, "binary_data_size of an input")
def mixed(subject: Subject) -> RestSteps[None]:
    """Inputs in JSON and in bytes may stand beside each other."""
    first, *rest = subject.asked()
    if not rest:
        raise Untried("the model has one input")
    head = {"inputs": [told(first), *(in_bytes(one) for one in rest)]}
    got = inferred((yield binary(subject, head, b"".join(one.raw() for one in rest))))
    alike(got.outputs, subject.answered(), "for bytes and for JSON")


@check(EXTENSION, "BYTES: each element with its length before it")
def text(subject: Subject) -> RestSteps[None]:
    """Tensors of BYTES go and come as elements with their lengths before them."""
    tensors = (*subject.asked(), *subject.outputs)
    if not any(one.datatype == "BYTES" for one in tensors):
        raise Untried("the model has no tensor of BYTES")
    head, tail = _all_in_bytes(subject)
    got = inferred((yield binary(subject, {**head, "parameters": OF_ALL}, tail)))
    alike(got.outputs, subject.answered(), "in bytes and in JSON")


@check(EXTENSION, "raw binary request")
def raw_request(subject: Subject) -> RestSteps[None]:
    """A body that is one tensor and nothing else, with the header 0, answers as that tensor does."""
    first, *rest = subject.asked()
    if rest or len(subject.model.inputs) != 1:
        raise Untried("the model has more than one input")
    if first.datatype == "BYTES" or subject.model.inputs[0].shape.count(-1) > 1 or first.shape[:1] != (1,):
        raise Untried("the shape of the input could not be told from its bytes")
    lines = {"Content-Type": "application/octet-stream", HEADER: "0"}
    got = inferred((yield post(model_path(subject, verb="infer"), first.raw(), lines)))
    _raw(got, set(got.names))
    alike(got.outputs, subject.answered(), "as a raw request")


@check(EXTENSION, "binary_data_size of an input")
def size(subject: Subject) -> RestSteps[None]:
    """A ``binary_data_size`` that is not the tensor's is refused, and bytes that are missing or too many."""
    first, *rest = subject.asked()
    tail = b"".join(one.raw() for one in (first, *rest))
    right = [in_bytes(one) for one in rest]
    for wrong in (len(first.raw()) + 4, max(0, len(first.raw()) - 1), -1):
        refused((yield binary(subject, {"inputs": [in_bytes(first, wrong), *right]}, tail)))
    whole = {"inputs": [in_bytes(first), *right]}
    refused((yield binary(subject, whole, tail[:-1])))
    refused((yield binary(subject, whole, tail + b"\0")))


@check(EXTENSION, "Inference-Header-Content-Length of a request")
def lying_header(subject: Subject) -> RestSteps[None]:
    """An ``Inference-Header-Content-Length`` beyond the body, negative, or no number is refused."""
    head, tail = _all_in_bytes(subject)
    for length in ("100000000", "-1", "many"):
        refused((yield binary(subject, head, tail, length=length)))


@check(EXTENSION, "BYTES: each element with its length before it")
def lying_text(subject: Subject) -> RestSteps[None]:
    """An element of BYTES whose length goes beyond the data is refused."""
    first, *rest = subject.asked()
    if first.datatype != "BYTES" or not first.values.size:
        raise Untried("the first input is not of BYTES")
    lying = b"\xff\xff\xff\x7f" + first.raw()[4:]
    head = {"inputs": [in_bytes(first, len(lying)), *(in_bytes(one) for one in rest)]}
    refused((yield binary(subject, head, lying + b"".join(one.raw() for one in rest))))


@check(EXTENSION, "binary tensor data")
def alive(subject: Subject) -> RestSteps[None]:
    """After all that the server answers as before."""
    head, tail = _all_in_bytes(subject)
    got = inferred(arrived((yield binary(subject, head, tail))))
    alike(got.outputs, subject.answered(), "before and after wrong requests")
