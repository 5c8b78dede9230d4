"""Errors in the protocol's form."""

from __future__ import annotations

import json

import grpc
import pytest

from prism_core.errors import InternalError, all_errors
from prism_core.plugin import InvalidInput, MalformedBody
from prism_oip.problems import Code, code_of, problem


def test_an_error_is_one_string_of_fact_and_next_step():
    media_type, body = problem(MalformedBody("The body ends early.", hint="Send all of it."))

    assert media_type == "application/json"
    assert json.loads(body) == {"error": "The body ends early. Send all of it."}


def test_without_a_hint_nothing_follows():
    assert json.loads(problem(MalformedBody("It ends early."))[1]) == {"error": "It ends early."}


def test_details_for_which_there_is_no_room_are_not_promised():
    error = InvalidInput("Row 0 is short.", hint="`details` lists every fault.", details={"errors": []})

    assert json.loads(problem(error)[1]) == {"error": "Row 0 is short."}


def test_the_id_under_which_the_log_has_more_is_told():
    error = InternalError("The server failed.", hint="See its log.", details={"error_id": "ab12"})

    assert json.loads(problem(error)[1]) == {"error": "The server failed. See its log. [ab12]"}


def test_half_a_character_of_a_request_does_not_break_the_answer():
    _, body = problem(InvalidInput("There is no category '\ud800'."))

    assert json.loads(body) == {"error": "There is no category '\ud800'."}


def test_codes_are_those_of_grpc():
    assert all(getattr(grpc.StatusCode, code.name).value[0] == code.value for code in Code)


@pytest.mark.parametrize("error", all_errors().values(), ids=lambda error: error.code)
def test_every_error_has_a_code_that_tells_whose_fault_it_is(error):
    """INVALID_ARGUMENT and the like are the caller's; nothing of the server's may look so."""
    theirs = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED}

    if error.status >= 500:
        assert code_of(error.status) not in theirs
    elif error.status in (400, 413, 415, 422):
        assert code_of(error.status) is Code.INVALID_ARGUMENT
    else:
        assert code_of(error.status) is not Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.UNAUTHENTICATED),
        (403, Code.PERMISSION_DENIED),
        (404, Code.NOT_FOUND),
        (429, Code.RESOURCE_EXHAUSTED),
        (499, Code.CANCELLED),
        (503, Code.UNAVAILABLE),
        (504, Code.DEADLINE_EXCEEDED),
        (500, Code.INTERNAL),
        (599, Code.INTERNAL),
    ],
)
def test_code_of(status, code):
    assert code_of(status) is code
