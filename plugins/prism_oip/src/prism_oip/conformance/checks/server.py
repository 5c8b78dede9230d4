"""The server itself: is it there, is it ready, what does it say it can do."""

from __future__ import annotations

from prism_oip.conformance.check import RECOMMENDED, REQUIRED, group
from prism_oip.conformance.exchange import RestSteps
from prism_oip.conformance.judging import field, object_of, of_kind, refused, succeeded, typed
from prism_oip.conformance.subject import Subject, get

check = group("server", of_model=False)


@check(REQUIRED, "Server Live")
def live(subject: Subject) -> RestSteps[None]:
    """``GET /v2/health/live`` answers 200."""
    succeeded((yield get("v2/health/live")))


@check(REQUIRED, "Server Ready")
def ready(subject: Subject) -> RestSteps[None]:
    """``GET /v2/health/ready`` answers 200 where the models are ready."""
    succeeded((yield get("v2/health/ready")))


@check(REQUIRED, "Server Metadata")
def metadata(subject: Subject) -> RestSteps[None]:
    """``GET /v2`` tells name, version and extensions."""
    told = object_of((yield get("v2")))
    field(told, "name", str)
    field(told, "version", str)
    for one in field(told, "extensions", list):
        of_kind(one, str, "an extension")


@check(RECOMMENDED, "Server Metadata")
def media_type(subject: Subject) -> RestSteps[None]:
    """The metadata comes as ``application/json``."""
    typed(succeeded((yield get("v2"))), "application/json")


@check(RECOMMENDED, "Server Live, $live_server_response")
def live_body(subject: Subject) -> RestSteps[None]:
    """The answer to ``/v2/health/live`` says ``{"live": true}``, as the newer text has it."""
    told = object_of((yield get("v2/health/live")))
    field(told, "live", bool)


@check(RECOMMENDED, "errors are objects with 'error'")
def unknown_path(subject: Subject) -> RestSteps[None]:
    """A path under ``/v2`` that does not exist is refused as the protocol's errors are."""
    refused((yield get("v2/no-such-path")))
