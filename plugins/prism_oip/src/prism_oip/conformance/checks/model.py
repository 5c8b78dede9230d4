"""A model: what it takes and gives, whether it is ready, which versions there are."""

from __future__ import annotations

from prism_oip.conformance.check import RECOMMENDED, REQUIRED, group
from prism_oip.conformance.exchange import RestSteps, Unmet
from prism_oip.conformance.judging import (
    equal,
    field,
    object_of,
    of_kind,
    optional,
    refused,
    spec_of,
    succeeded,
)
from prism_oip.conformance.subject import Subject, get, model_path

check = group("model")

NO_MODEL = "v2/models/no-such-model-of-the-kit"
NO_VERSION = "987654321"


@check(REQUIRED, "Model Metadata")
def metadata(subject: Subject) -> RestSteps[None]:
    """The metadata tells the model's name, its platform, its inputs and its outputs."""
    told = object_of((yield get(model_path(subject))))
    equal(field(told, "name", str), subject.model.name, "the model's name")
    field(told, "platform", str)
    field(told, "inputs", list)
    field(told, "outputs", list)


@check(REQUIRED, "Model Metadata, $metadata_tensor")
def tensors(subject: Subject) -> RestSteps[None]:
    """Each tensor of the metadata has a name of its own, a datatype of the protocol, and a shape."""
    told = object_of((yield get(model_path(subject))))
    for side in ("inputs", "outputs"):
        specs = [spec_of(one) for one in field(told, side, list)]
        if not specs or len({spec.name for spec in specs}) < len(specs):
            raise Unmet(f"{side}, each with a name of its own", str([spec.name for spec in specs]))


@check(REQUIRED, "Model Metadata, versions")
def versions(subject: Subject) -> RestSteps[None]:
    """Where versions are told they are strings, and the metadata of each can be asked for."""
    told = object_of((yield get(model_path(subject))))
    for one in optional(told, "versions", list):
        own = object_of((yield get(model_path(subject, version=of_kind(one, str, "a version")))))
        equal(own.get("name"), subject.model.name, "the name in a version's metadata")


@check(REQUIRED, "Model Ready")
def ready(subject: Subject) -> RestSteps[None]:
    """The model that answers says that it is ready, by itself and as a version."""
    succeeded((yield get(model_path(subject, verb="ready"))))
    for version in subject.model.versions[-1:]:
        succeeded((yield get(model_path(subject, version=version, verb="ready"))))


@check(RECOMMENDED, "Model Ready, $ready_model_response")
def ready_body(subject: Subject) -> RestSteps[None]:
    """The answer to ``.../ready`` says ``{"name": ..., "ready": true}``, as the newer text has it."""
    told = object_of((yield get(model_path(subject, verb="ready"))))
    equal(field(told, "name", str), subject.model.name, "the model's name")
    equal(field(told, "ready", bool), True, "'ready'")


@check(REQUIRED, "Model Metadata, error object", of_model=False)
def unknown(subject: Subject) -> RestSteps[None]:
    """The metadata of an unknown model is refused."""
    refused((yield get(NO_MODEL)))


@check(REQUIRED, "Model Ready", of_model=False)
def unknown_ready(subject: Subject) -> RestSteps[None]:
    """An unknown model is not ready."""
    refused((yield get(f"{NO_MODEL}/ready")))


@check(REQUIRED, "Model Metadata, error object")
def unknown_version(subject: Subject) -> RestSteps[None]:
    """The metadata of an unknown version is refused."""
    refused((yield get(model_path(subject, version=NO_VERSION))))


@check(RECOMMENDED, "HTTP: 404 Not Found", of_model=False)
def unknown_404(subject: Subject) -> RestSteps[None]:
    """An unknown model is refused with 404."""
    equal((yield get(NO_MODEL)).status, 404, "the status")
