"""Errors as problem documents."""

from __future__ import annotations

import json

import pytest
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from structlog.testing import capture_logs

from prism_core.errors import InternalError, ModelFailed, Overloaded, PrismError, Unauthorized, all_errors
from prism_core.rest.errors import problem, problem_response


@pytest.mark.parametrize("error", all_errors().values())
def test_every_deliberate_error_is_shown_as_it_is(error):
    status, headers, body = problem_response(
        error("A fact.", hint="A step.", details={"row": 1, "allow": "GET"})
    )

    document = json.loads(body)
    assert status == error.status == document["status"]
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert int(dict(headers)[b"content-length"]) == len(body)
    assert (document["code"], document["detail"], document["hint"]) == (error.code, "A fact.", "A step.")
    assert document["details"]["row"] == 1
    assert document["type"].endswith(error.code)
    assert ("error_id" in document) == (status == 500)


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (Overloaded("Full.", details={"retry_after_s": 0.2}), (b"retry-after", b"1")),
        (Overloaded("Full.", details={"retry_after_s": 2.1}), (b"retry-after", b"3")),
        (Unauthorized("No token."), (b"www-authenticate", b"Bearer")),
        (MethodNotAllowedException(headers={"allow": "GET, OPTIONS"}), (b"allow", b"GET, OPTIONS")),
    ],
)
def test_headers_that_an_error_brings(error, header):
    assert header in problem_response(error)[1]


@pytest.mark.parametrize("seconds", [None, "soon", float("inf"), float("nan")])
def test_a_wait_that_is_no_number_is_not_told(seconds):
    headers = problem_response(Overloaded("Full.", details={"retry_after_s": seconds}))[1]

    assert b"retry-after" not in dict(headers)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundException(), 404, "route_not_found"),
        (MethodNotAllowedException(headers={"allow": "GET"}), 405, "method_not_allowed"),
        (
            ValidationException("no", extra=[{"key": "version", "message": "/home/secret"}]),
            400,
            "invalid_parameter",
        ),
        (HTTPException("secret", status_code=413), 413, "payload_too_large"),
        (HTTPException("secret", status_code=418), 400, "invalid_parameter"),
        (HTTPException("secret", status_code=503), 500, "internal_error"),
        (RuntimeError("secret"), 500, "internal_error"),
    ],
)
def test_what_others_raise_becomes_ours_without_its_text(error, status, code):
    got, _, body = problem_response(error)

    assert (got, json.loads(body)["code"]) == (status, code)
    assert b"secret" not in body


def test_a_wrong_parameter_is_named():
    error = ValidationException("no", extra=[{"key": "version", "message": "no"}])

    assert "'version'" in problem(error)["detail"]


def test_a_fault_is_logged_under_the_number_that_the_caller_is_told():
    with capture_logs() as logs:
        document = problem(RuntimeError("the reason"))

    (entry,) = logs
    assert entry["error_id"] == document["error_id"]
    assert "the reason" in entry["reason"]
    assert isinstance(entry["exc_info"], RuntimeError)


def test_a_fault_that_a_replica_has_logged_keeps_its_number():
    document = problem(ModelFailed("The model raised.", details={"error_id": "0123456789ab"}))

    assert document["error_id"] == "0123456789ab"


@pytest.mark.parametrize("details", [{"odd": object()}, {1: 2}, {"text": "\ud800"}, {"number": float("nan")}])
def test_an_error_does_not_fail_on_its_own_details(details):
    status, _, body = problem_response(PrismError("A fact.", details=details))

    assert status == 500
    assert json.loads(body)["detail"] == "A fact."


def test_an_error_does_not_fail_on_its_own_text():
    assert json.loads(problem_response(InternalError("\ud800"))[2])["detail"] == "?"
