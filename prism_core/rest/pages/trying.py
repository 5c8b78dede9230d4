"""Ask the model what the form holds; an answer, or what is wrong, for the page to show.

The question goes the way of every prediction: through the lane, its cache and its batches.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from prism_core.errors import InvalidInput, PrismError, StillLoading
from prism_core.gateway.asking import Head, Prediction
from prism_core.gateway.service import PredictService
from prism_core.gateway.views import VersionInfo
from prism_core.rest.describe import signature_of
from prism_core.rest.errors import as_prism_error, problem
from prism_core.rest.pages.answers import Answer, answer_of, wanted
from prism_core.rest.pages.filled import body_of, placed, read
from prism_core.rest.pages.posted import Posted
from prism_core.rest.pages.widgets import Form, form_of
from prism_core.types import Signature

# The form's field that says which of the page's forms it is.
WAY, JSON_BOX = "way", "json"


@attrs.frozen
class Question:
    """What is sent to the model, as a program would send it. ``body`` is None for a file's bytes."""

    media_type: str
    sent: bytes
    body: Any = None


@attrs.frozen
class Trial:
    """A row that somebody tried.

    ``texts`` and ``errors`` are by the form's keys. ``error`` is why there is no answer.
    """

    texts: Mapping[str, str] = attrs.field(factory=dict)
    errors: Mapping[str, str] = attrs.field(factory=dict)
    question: Question | None = None
    answer: Answer | None = None
    prediction: Prediction | None = None
    error: PrismError | None = None
    error_id: str = ""


def question_of(form: Form, posted: Posted) -> tuple[Question | None, Mapping[str, str]]:
    """Return what a form asks, and by key what is wrong with it.

    Raises
    ------
    InvalidInput
        If nothing was chosen or written.
    """
    way = posted.texts.get(WAY, form.way)
    if way == "picture" and form.way == "picture":
        if posted.file is None:
            raise InvalidInput("No picture was chosen.", hint="Choose a file.")
        return Question(posted.media_type or "application/octet-stream", posted.file), {}
    if way == "json" or form.way != "fields":
        return _written(posted.texts.get(JSON_BOX, "")), {}
    filled = read(form, posted.texts)
    if filled.errors:
        return None, filled.errors
    body = body_of(form, filled.row)
    return Question("application/json", msgspec.json.encode(body), body), {}


def _written(text: str) -> Question:
    if not text.strip():
        raise InvalidInput("Nothing was written.", hint="The example shows how the model is asked.")
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        body = None  # the model's process says what is wrong with it
    return Question("application/json", text.encode(), body)


async def attempt(
    service: PredictService, reference: str, version: VersionInfo, posted: Posted, request: str = ""
) -> Trial:
    """Ask ``reference``, that is ``version``, what ``posted`` holds; an error is a part of what is shown."""
    signature = signature_of(version)
    form = form_of(signature) if signature else Form("json")
    question = None
    try:
        if signature is None:
            raise StillLoading("The model has not been loaded yet.", hint="Try again in a moment.")
        question, errors = question_of(form, posted)
        if question is None:
            return Trial(posted.texts, errors, error=_several(errors))
        lane = service.lane(reference)
        prediction = await lane.predict(_head(question, signature), question.sent, request=request)
        answer = answer_of(msgspec.json.decode(prediction.body), signature)
        return Trial(posted.texts, {}, question, answer, prediction)
    except Exception as error:
        told = as_prism_error(error)
        error_id = problem(told, cause=error).get("error_id", "")
        return Trial(posted.texts, placed(form, told), question, error=told, error_id=error_id)


def _head(question: Question, signature: Signature) -> Head:
    names = wanted(signature)
    # A name with a comma cannot be asked for so; then there are the outputs that the model answers by itself.
    query = "" if any("," in name for name in names) else urllib.parse.urlencode({"outputs": ",".join(names)})
    return Head(question.media_type, "application/json", query)


def _several(errors: Mapping[str, str]) -> InvalidInput:
    count = len(errors)
    return InvalidInput("A value does not fit." if count == 1 else f"{count} values do not fit.")
