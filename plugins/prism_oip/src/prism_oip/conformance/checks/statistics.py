"""The statistics extension: what a model has done since the server started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prism_oip.conformance.check import EXTENSION, group
from prism_oip.conformance.checks.model import NO_MODEL
from prism_oip.conformance.exchange import Answer, RestSteps, Unmet
from prism_oip.conformance.judging import equal, field, inferred, object_of, of_kind, refused
from prism_oip.conformance.subject import Subject, asking, get, infer, model_path

check = group("statistics", extension="statistics")

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
COUNTS = ("last_inference", "inference_count", "execution_count")


def entries(answer: Answer) -> list[Mapping[str, Any]]:
    """Judge ``$stats_model_response``; return the statistics of each version."""
    told = [of_kind(one, dict, "statistics") for one in field(object_of(answer), "model_stats", list)]
    for one in told:
        _judged(one)
    return list(told)


def _judged(told: Mapping[str, Any]) -> None:
    field(told, "name", str)
    for name in COUNTS:
        _counted(told, name)
    stats = field(told, "inference_stats", dict)
    for name in DURATIONS:
        _duration(stats, name)
    for batch in field(told, "batch_stats", list):
        _counted(of_kind(batch, dict, "statistics of a batch size"), "batch_size")
        for name in DURATIONS[3:]:
            _duration(batch, name)


def _duration(stats: Mapping[str, Any], name: str) -> None:
    told = field(stats, name, dict)
    _counted(told, "count")
    _counted(told, "ns")


def _counted(told: Mapping[str, Any], name: str) -> int:
    value = field(told, name, int)
    if value < 0:
        raise Unmet(f"{name!r} of 0 or more", str(value))
    return value


def _succeeded(answer: Answer) -> int:
    return sum(int(one["inference_stats"]["success"]["count"]) for one in entries(answer))


@check(EXTENSION, "GET v2/models/${MODEL_NAME}/stats")
def model(subject: Subject) -> RestSteps[None]:
    """The statistics of a model are told, whole, for each of its versions."""
    told = entries((yield get(model_path(subject, verb="stats"))))
    if not told:
        raise Unmet("statistics of a version", "none")
    for one in told:
        equal(one["name"], subject.model.name, "the name in statistics")


@check(EXTENSION, "GET v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}/stats")
def version(subject: Subject) -> RestSteps[None]:
    """The statistics of one version are told by its path."""
    wanted = subject.version()
    told = entries((yield get(model_path(subject, version=wanted, verb="stats"))))
    equal([one.get("version") for one in told], [wanted], "the versions in statistics")


@check(EXTENSION, "GET v2/models/stats", of_model=False)
def all_(subject: Subject) -> RestSteps[None]:
    """The statistics of all models are told at one place."""
    names = {one["name"] for one in entries((yield get("v2/models/stats")))}
    missing = set(subject.models) - names
    if missing:
        raise Unmet(f"statistics of {', '.join(sorted(missing))} among all", str(sorted(names)))


@check(EXTENSION, "inference_stats, success")
def counted(subject: Subject) -> RestSteps[None]:
    """A request that succeeds is counted as one."""
    path = model_path(subject, verb="stats")
    before = _succeeded((yield get(path)))
    inferred((yield infer(subject, asking(subject.asked()))))
    after = _succeeded((yield get(path)))
    if after <= before:
        raise Unmet(f"more than {before} successes after one more", str(after))


@check(EXTENSION, "statistics, error object", of_model=False)
def unknown(subject: Subject) -> RestSteps[None]:
    """The statistics of an unknown model are refused."""
    refused((yield get(f"{NO_MODEL}/stats")))
