"""The model repository extension: which models there are; with ``--write`` also loading and unloading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from prism_oip.conformance.check import EXTENSION, group
from prism_oip.conformance.checks.model import NO_MODEL
from prism_oip.conformance.exchange import Answer, Request, RestSteps, Unmet
from prism_oip.conformance.judging import (
    alike,
    field,
    inferred,
    of_kind,
    optional,
    parsed,
    refused,
    succeeded,
)
from prism_oip.conformance.subject import Subject, asking, get, infer, model_path, post

check = group("repository", extension="model_repository")

INDEX = "v2/repository/index"


def manage(path: str, value: Any = None) -> Request:
    """Return a POST to where models are managed."""
    return attrs.evolve(post(path, value), managing=True)


def listed(answer: Answer) -> list[Mapping[str, Any]]:
    """Judge ``$repository_index_response``; return its entries."""
    told = of_kind(parsed(succeeded(answer).body), list, "the body")
    for one in told:
        field(of_kind(one, dict, "an entry of the index"), "name", str)
        for name in ("version", "state", "reason"):
            optional(one, name, str)
    return told


@check(EXTENSION, "POST v2/repository/index", of_model=False)
def index(subject: Subject) -> RestSteps[None]:
    """The index tells all models that are asked here, each with its state."""
    told = listed((yield manage(INDEX)))
    missing = set(subject.models) - {one["name"] for one in told}
    if missing:
        raise Unmet(f"{', '.join(sorted(missing))} in the index", str([one["name"] for one in told]))


@check(EXTENSION, "$repository_index_request, ready", of_model=False)
def ready(subject: Subject) -> RestSteps[None]:
    """With ``"ready": true`` the index tells ready models only."""
    told = listed((yield manage(INDEX, {"ready": True})))
    others = [one["name"] for one in told if one.get("state", "READY") != "READY"]
    if others:
        raise Unmet("models of the state READY alone", str(others))


@check(EXTENSION, "POST v2/repository/models/${MODEL_NAME}/load", of_model=False, writes=True)
def unknown(subject: Subject) -> RestSteps[None]:
    """Loading an unknown model is refused."""
    refused((yield manage(f"{NO_MODEL.replace('models', 'repository/models')}/load")))


@check(EXTENSION, "POST v2/repository/models/${MODEL_NAME}/unload, load", writes=True)
def reload(subject: Subject) -> RestSteps[None]:
    """A model that is unloaded is not ready and does not answer; loaded again, it answers as before."""
    path = model_path(subject).replace("models", "repository/models", 1)
    subject.asked()
    succeeded((yield manage(f"{path}/unload")))
    gone = yield get(model_path(subject, verb="ready"))
    silent = yield infer(subject, asking(subject.asked()))
    succeeded((yield manage(f"{path}/load")))
    got = inferred((yield infer(subject, asking(subject.asked()))))
    refused(gone)
    refused(silent)
    alike(got.outputs, subject.answered(), "before and after")
