"""The model configuration extension."""

from __future__ import annotations

from prism_oip.conformance.check import EXTENSION, group
from prism_oip.conformance.checks.model import NO_MODEL
from prism_oip.conformance.exchange import RestSteps
from prism_oip.conformance.judging import equal, field, object_of, of_kind, refused
from prism_oip.conformance.subject import Subject, get, model_path

check = group("configuration", extension="model_configuration")


@check(EXTENSION, "GET v2/models/${MODEL_NAME}/config")
def model(subject: Subject) -> RestSteps[None]:
    """The configuration tells the model's name and how many rows may be joined."""
    told = object_of((yield get(model_path(subject, verb="config"))))
    equal(field(told, "name", str), subject.model.name, "the model's name")
    field(told, "max_batch_size", int)


@check(EXTENSION, "ModelConfig, input and output")
def tensors(subject: Subject) -> RestSteps[None]:
    """The configuration tells the tensors of the metadata, with datatypes as ``TYPE_...``."""
    told = object_of((yield get(model_path(subject, verb="config"))))
    for name, specs in (("input", subject.model.inputs), ("output", subject.model.outputs)):
        found = [of_kind(one, dict, "a tensor") for one in field(told, name, list)]
        equal(
            [field(one, "name", str) for one in found], [spec.name for spec in specs], f"the names of {name}"
        )
        types = [f"TYPE_{'STRING' if spec.datatype == 'BYTES' else spec.datatype}" for spec in specs]
        equal([field(one, "data_type", str) for one in found], types, f"the datatypes of {name}")


@check(EXTENSION, "GET v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}/config")
def version(subject: Subject) -> RestSteps[None]:
    """The configuration of a version is told by its path."""
    told = object_of((yield get(model_path(subject, version=subject.version(), verb="config"))))
    equal(field(told, "name", str), subject.model.name, "the model's name")


@check(EXTENSION, "configuration, error object", of_model=False)
def unknown(subject: Subject) -> RestSteps[None]:
    """The configuration of an unknown model is refused."""
    refused((yield get(f"{NO_MODEL}/config")))
