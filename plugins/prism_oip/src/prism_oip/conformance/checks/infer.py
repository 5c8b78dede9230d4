"""Inference in JSON: what is asked, in which form, and whether the answer is whole."""

from __future__ import annotations

from prism_oip.conformance.check import EXTENSION, RECOMMENDED, REQUIRED, group
from prism_oip.conformance.checks.model import NO_MODEL, NO_VERSION
from prism_oip.conformance.exchange import RestSteps, Unmet, Untried
from prism_oip.conformance.judging import (
    alike,
    equal,
    field,
    fitting,
    inferred,
    optional,
    refused,
    succeeded,
    typed,
)
from prism_oip.conformance.subject import Subject, asking, get, infer, model_path, post, told
from prism_oip.conformance.tensors import NOT_IN_JSON

check = group("infer")

ID = "kit-42"


def _in_json(subject: Subject) -> None:
    """Judge nothing that the protocol leaves open: numbers of half size have no agreed form in JSON."""
    specs = (*subject.model.inputs, *subject.model.outputs)
    if any(spec.datatype in NOT_IN_JSON for spec in specs):
        raise Untried("the model has tensors of FP16 or BF16, for which JSON has no agreed form")


@check(REQUIRED, "Inference, tensor data flattened")
def flat(subject: Subject) -> RestSteps[None]:
    """Data given as one flat array is taken, and the answer is a whole ``$inference_response``."""
    _in_json(subject)
    inferred((yield infer(subject, asking(subject.inputs or subject.asked()))))


@check(REQUIRED, "Inference, tensor data nested")
def nested(subject: Subject) -> RestSteps[None]:
    """Data given nested, as its shape is, answers as flat data does."""
    _in_json(subject)
    inputs = [told(one, nested=True) for one in subject.asked()]
    got = inferred((yield infer(subject, {"inputs": inputs})))
    alike(got.outputs, subject.answered(), "for nested and for flat data")


@check(REQUIRED, "$inference_response, model_name")
def model_name(subject: Subject) -> RestSteps[None]:
    """The answer names the model."""
    _in_json(subject)
    got = inferred((yield infer(subject, asking(subject.asked()))))
    equal(got.told["model_name"], subject.model.name, "'model_name'")


@check(RECOMMENDED, "$inference_response, model_version")
def model_version(subject: Subject) -> RestSteps[None]:
    """The answer tells the version that was used, where the model has versions."""
    _in_json(subject)
    subject.version()
    got = inferred((yield infer(subject, asking(subject.asked()))))
    version = field(got.told, "model_version", str)
    if version not in subject.model.versions:
        raise Unmet(f"a version of {', '.join(subject.model.versions)}", version)


@check(REQUIRED, "Inference, the version in the path")
def version(subject: Subject) -> RestSteps[None]:
    """A version asked for by its path answers, and says that it was it."""
    _in_json(subject)
    wanted = subject.version()
    got = inferred((yield infer(subject, asking(subject.asked()), version=wanted)))
    equal(optional(got.told, "model_version", str) or wanted, wanted, "'model_version'")


@check(REQUIRED, "$inference_request, id")
def id(subject: Subject) -> RestSteps[None]:
    """The ``id`` of a request comes back."""
    _in_json(subject)
    got = inferred((yield infer(subject, asking(subject.asked(), id=ID))))
    equal(got.told.get("id"), ID, "'id'")


@check(REQUIRED, "Model Metadata, outputs")
def signature(subject: Subject) -> RestSteps[None]:
    """The outputs are those of the metadata: their names, datatypes and shapes."""
    _in_json(subject)
    _outputs_told(subject)
    got = inferred((yield infer(subject, asking(subject.asked()))))
    fitting(got.outputs, subject.model.outputs)


@check(REQUIRED, "$inference_request, outputs: if not specified, all")
def all_outputs(subject: Subject) -> RestSteps[None]:
    """A request that names no outputs gets all of the metadata but those marked ``on_request`` there."""
    _in_json(subject)
    _outputs_told(subject)
    got = inferred((yield infer(subject, asking(subject.asked()))))
    usual = {spec.name for spec in subject.model.outputs if not spec.on_request}
    missing = usual - set(got.names)
    if missing:
        raise Unmet("all outputs of the metadata where none is named", f"not {', '.join(sorted(missing))}")


def _outputs_told(subject: Subject) -> None:
    if not subject.model.outputs:
        raise Untried("the model's metadata tells no outputs")


@check(REQUIRED, "$inference_request, outputs")
def output(subject: Subject) -> RestSteps[None]:
    """Each output that is asked for by name comes, and it alone."""
    _in_json(subject)
    names = [one.name for one in subject.outputs] or [spec.name for spec in subject.model.outputs]
    if not names:
        raise Untried("no name of an output is known")
    for name in names[:3]:
        got = inferred((yield infer(subject, asking(subject.asked(), outputs=[{"name": name}]))))
        equal(got.names, [name], "the outputs")


@check(REQUIRED, "$parameters, zero or more")
def empty_parameters(subject: Subject) -> RestSteps[None]:
    """Empty ``parameters`` of the request, of inputs and of outputs change nothing."""
    _in_json(subject)
    inputs = [told(one, parameters={}) for one in subject.asked()]
    outputs = [{"name": one.name, "parameters": {}} for one in subject.answered()]
    got = inferred((yield infer(subject, {"inputs": inputs, "outputs": outputs, "parameters": {}})))
    alike(got.outputs, subject.answered(), "with empty parameters and without")


@check(RECOMMENDED, "Parameters")
def parameters(subject: Subject) -> RestSteps[None]:
    """A parameter that the server does not know, of each of the three types, is let pass."""
    _in_json(subject)
    for value in ("text", 7, True):
        inferred((yield infer(subject, asking(subject.asked(), parameters={"kit_parameter": value}))))


@check(EXTENSION, "Parameters extension", extension="parameters")
def known_parameters(subject: Subject) -> RestSteps[None]:
    """``parameters`` with strings, numbers and booleans are taken."""
    _in_json(subject)
    several = {"kit_text": "text", "kit_number": 7, "kit_flag": True}
    inferred((yield infer(subject, asking(subject.asked(), parameters=several))))


@check(REQUIRED, "Model Metadata, -1 in a shape")
def sizes(subject: Subject) -> RestSteps[None]:
    """Inputs whose first size may be any are taken with two rows, and no shape of the metadata is broken."""
    _in_json(subject)
    specs = subject.model.inputs
    subject.asked()
    if not specs or not all(spec.shape and spec.shape[0] == -1 for spec in specs):
        raise Untried("the first size of the inputs is not free")
    two = [one.repeated(2) for one in subject.inputs]
    fitting(inferred((yield infer(subject, asking(two)))).outputs, subject.model.outputs)


@check(RECOMMENDED, "equal inputs, equal answers")
def repeated(subject: Subject) -> RestSteps[None]:
    """The same request, sent again, is answered the same."""
    _in_json(subject)
    first = inferred((yield infer(subject, asking(subject.asked()))))
    again = inferred((yield infer(subject, asking(subject.asked()))))
    alike(first.outputs, again.outputs, "for equal inputs")


@check(RECOMMENDED, "HTTP: Content-Type")
def media_type(subject: Subject) -> RestSteps[None]:
    """An answer that is all JSON comes as ``application/json``."""
    _in_json(subject)
    typed(succeeded((yield infer(subject, asking(subject.asked())))), "application/json")


@check(REQUIRED, "Inference, error object", of_model=False)
def unknown_model(subject: Subject) -> RestSteps[None]:
    """Inference with an unknown model is refused."""
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
    refused((yield post(f"{NO_MODEL}/infer", body)))


@check(REQUIRED, "Inference, error object")
def unknown_version(subject: Subject) -> RestSteps[None]:
    """Inference with an unknown version is refused."""
    refused((yield infer(subject, asking(subject.asked()), version=NO_VERSION)))


@check(RECOMMENDED, "HTTP: 405 Method Not Allowed")
def method(subject: Subject) -> RestSteps[None]:
    """``GET`` of inference is refused."""
    answer = yield get(model_path(subject, verb="infer"))
    if not 400 <= answer.status <= 499:
        raise Unmet("a status of 400 to 499", answer.fault or f"status {answer.status}")
