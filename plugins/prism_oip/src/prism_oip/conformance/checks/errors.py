"""Requests that are wrong: each is refused with an error object, and the server goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prism_oip.conformance.check import RECOMMENDED, REQUIRED, group
from prism_oip.conformance.exchange import Request, RestSteps, Unmet, Untried
from prism_oip.conformance.judging import alike, blamed, inferred, refused, succeeded
from prism_oip.conformance.subject import Subject, asking, get, infer, told

check = group("errors")

Wrong = Callable[[Subject], Request]
CLAUSE = "Inference, error object"


def _changed(subject: Subject, **fields: Any) -> Request:
    """Return a right request whose first input is changed."""
    first, *rest = subject.asked()
    return infer(subject, {"inputs": [told(first, **fields), *map(told, rest)]})


def _broken(subject: Subject) -> Request:
    return infer(subject, b'{"inputs": [')


def _array(subject: Subject) -> Request:
    return infer(subject, b"[1, 2, 3]")


def _empty(subject: Subject) -> Request:
    return infer(subject, b"")


def _no_inputs(subject: Subject) -> Request:
    return infer(subject, {"id": "kit"})


def _one_missing(subject: Subject) -> Request:
    return infer(subject, asking(subject.asked()[1:]))


def _no_data(subject: Subject) -> Request:
    first, *rest = (told(one) for one in subject.asked())
    return infer(subject, {"inputs": [_without(first, "data"), *rest]})


def _without(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != name}


def _few(subject: Subject) -> Request:
    first = subject.asked()[0]
    if not first.values.size:
        raise Untried("the first input has no elements")
    return _changed(subject, data=first.listed()[:-1])


def _many(subject: Subject) -> Request:
    data = subject.asked()[0].listed()
    return _changed(subject, data=[*data, *data[:1]] or [1])


def _negative(subject: Subject) -> Request:
    shape = subject.asked()[0].shape
    return _changed(subject, shape=[-size for size in shape] or [-1])


def _huge(subject: Subject) -> Request:
    return _changed(subject, shape=[2**40, 2**40])


def _no_type(subject: Subject) -> Request:
    return _changed(subject, datatype="FP31")


def _unlike(subject: Subject) -> Request:
    datatype = subject.asked()[0].datatype
    data = [{"no": "number"}] * subject.asked()[0].values.size
    if not data:
        raise Untried("the first input has no elements")
    return _changed(subject, data=data, datatype=datatype)


def _wider(subject: Subject) -> Request:
    """Return a request whose last size, which is fixed, is one more."""
    spec = next((s for s in subject.model.inputs if s.name == subject.asked()[0].name), None)
    if spec is None or not spec.shape or spec.shape[-1] < 1:
        raise Untried("the last size of the first input is not fixed")
    shape = (*subject.asked()[0].shape[:-1], spec.shape[-1] + 1)
    per_row = subject.asked()[0].listed()[:1] * _product(shape)
    return _changed(subject, shape=list(shape), data=per_row)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _stranger(subject: Subject) -> Request:
    return _changed(subject, name="no_such_input_of_the_kit")


def _other_type(subject: Subject) -> Request:
    datatype = subject.asked()[0].datatype
    if datatype == "BYTES":
        return _changed(subject, datatype="FP32", data=[1.5] * subject.asked()[0].values.size)
    return _changed(subject, datatype="BYTES", data=["text"] * subject.asked()[0].values.size)


def _no_output(subject: Subject) -> Request:
    return infer(subject, asking(subject.asked(), outputs=[{"name": "no_such_output_of_the_kit"}]))


WRONG: tuple[Wrong, ...] = (
    _broken, _array, _empty, _no_inputs, _one_missing, _no_data, _few, _many,
    _negative, _huge, _no_type, _unlike, _wider, _stranger, _other_type, _no_output,
)  # fmt: skip


def _all(subject: Subject) -> Iterator[Request]:
    for wrong in WRONG:
        try:
            yield wrong(subject)
        except Untried:
            continue  # this one cannot be wrong with this model


@check(REQUIRED, CLAUSE)
def malformed(subject: Subject) -> RestSteps[None]:
    """A body that is no JSON, no object, or nothing at all is refused."""
    for wrong in (_broken, _array, _empty):
        refused((yield wrong(subject)))


@check(REQUIRED, "$inference_request, inputs")
def no_inputs(subject: Subject) -> RestSteps[None]:
    """A request without ``inputs`` is refused."""
    refused((yield _no_inputs(subject)))


@check(REQUIRED, "Model Metadata, the inputs required by the model")
def missing_input(subject: Subject) -> RestSteps[None]:
    """A request that lacks an input of the model is refused."""
    refused((yield _one_missing(subject)))


@check(REQUIRED, "$inference_request_input, data")
def no_data(subject: Subject) -> RestSteps[None]:
    """An input without data is refused."""
    refused((yield _no_data(subject)))


@check(REQUIRED, "Tensor Data")
def size(subject: Subject) -> RestSteps[None]:
    """Data of more or fewer elements than the shape says is refused."""
    refused((yield _few(subject)))
    refused((yield _many(subject)))


@check(REQUIRED, "$inference_request_input, shape")
def shape(subject: Subject) -> RestSteps[None]:
    """A shape with negative sizes is refused, and one with sizes beyond all memory."""
    refused((yield _negative(subject)))
    refused((yield _huge(subject)))


@check(REQUIRED, "Model Metadata, $metadata_tensor")
def width(subject: Subject) -> RestSteps[None]:
    """A shape that differs from the metadata, where that is fixed, is refused."""
    refused((yield _wider(subject)))


@check(REQUIRED, "Tensor Data Types")
def datatype(subject: Subject) -> RestSteps[None]:
    """A datatype that the protocol does not know is refused."""
    refused((yield _no_type(subject)))


@check(RECOMMENDED, "Tensor Data: coerce or refuse")
def other_datatype(subject: Subject) -> RestSteps[None]:
    """Text for numbers, or numbers for text, is refused."""
    refused((yield _other_type(subject)))


@check(REQUIRED, "Tensor Data: integer, number, string or boolean")
def elements(subject: Subject) -> RestSteps[None]:
    """Elements that are objects are refused."""
    refused((yield _unlike(subject)))


@check(REQUIRED, "Model Metadata, the inputs required by the model")
def input_name(subject: Subject) -> RestSteps[None]:
    """A name that is no input of the model, in the place of one that is, is refused."""
    refused((yield _stranger(subject)))


@check(REQUIRED, "$inference_request, outputs")
def output_name(subject: Subject) -> RestSteps[None]:
    """An output that the model does not have is refused."""
    refused((yield _no_output(subject)))


@check(RECOMMENDED, "HTTP: 4xx, the request is wrong")
def client_status(subject: Subject) -> RestSteps[None]:
    """Whatever of these is wrong, the status is of 400 to 499: 500 and more are the server's own faults."""
    subject.asked()
    for request in _all(subject):
        answer = yield request
        if answer.status != 200:  # what should have been refused is judged above
            blamed(answer)


@check(REQUIRED, "Server Live")
def alive(subject: Subject) -> RestSteps[None]:
    """After all that the server lives, and answers as before."""
    succeeded((yield get("v2/health/live")))
    got = inferred((yield infer(subject, asking(subject.asked()))))
    if subject.steady and subject.outputs:
        alike(got.outputs, subject.outputs, "before and after wrong requests")
    if not got.outputs:
        raise Unmet("outputs", "none")
