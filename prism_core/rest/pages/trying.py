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
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.sender import AskSender, nobody
from prism_core.gateway.views import VersionInfo
from prism_core.rest.describe import signature_of
from prism_core.rest.errors import as_prism_error, problem
from prism_core.rest.pages.answers import Answer, answer_of, wanted
from prism_core.rest.pages.filled import body_of, placed, read
from prism_core.rest.pages.posted import Posted
from prism_core.rest.pages.widgets import Form, form_of
from prism_core.rest.snippets import JSON, Sample
from prism_core.types import Signature

# An answer is read by the gateway to show its first row; one that is larger would keep others waiting.
ANSWER_BYTES = 1 << 20
# What was written is shown as a program would send it up to this length.
SAMPLE_LENGTH = 4000
# The form's field that says which of the page's forms it is.
WAY, JSON_BOX = "way", "json"


@attrs.frozen
class Question:
    """What is sent to the model, and as a program would send it; None where that is no example."""

    media_type: str
    sent: bytes
    sample: Sample | None = None


@attrs.frozen
class Trial:
    """A row that somebody tried.

    ``texts`` and ``errors`` are by the form's keys, ``row`` are the values of its fields. ``error``
    is why there is no answer.
    """

    texts: Mapping[str, str] = attrs.field(factory=dict)
    errors: Mapping[str, str] = attrs.field(factory=dict)
    question: Question | None = None
    answer: Answer | None = None
    prediction: Prediction | None = None
    row: tuple[Any, ...] | None = None
    error: PrismError | None = None
    error_id: str = ""


async def attempt(
    service: PredictService,
    reference: str,
    version: VersionInfo,
    posted: Posted,
    request: str = "",
    sender: AskSender = nobody,
) -> Trial:
    """Ask ``reference``, that is ``version``, what ``posted`` holds; an error is a part of what is shown."""
    signature = signature_of(version)
    form = form_of(signature) if signature else Form("json")
    trial = Trial(posted.texts)
    try:
        if signature is None:
            raise StillLoading("The model has not been loaded yet.", hint="Try again in a moment.")
        trial = asked(form, posted)
        if trial.question is None:
            return trial
        head = Head(trial.question.media_type, "application/json", query_of(signature).removeprefix("?"))
        lane, body = service.lane(reference), trial.question.sent
        prediction = await lane.predict(head, body, request=request, sender=sender)
        return attrs.evolve(trial, answer=_read(prediction, signature), prediction=prediction)
    except Exception as error:
        told = as_prism_error(error)
        error_id = problem(told, cause=error).get("error_id", "")
        return attrs.evolve(trial, errors=placed(form, told), error=told, error_id=error_id)


def asked(form: Form, posted: Posted) -> Trial:
    """Return what a form asks; without a question if something is wrong with it.

    Raises
    ------
    InvalidInput
        If nothing was chosen or written.
    """
    way = posted.texts.get(WAY, form.way)
    if way == "picture" and form.way == "picture":
        return Trial(posted.texts, question=_picture(posted))
    if way == "json" or form.way != "fields":
        return Trial(posted.texts, question=_written(posted.texts.get(JSON_BOX, "")))
    filled = read(form, posted.texts)
    if filled.errors:
        return Trial(posted.texts, filled.errors, error=_several(filled.errors))
    body = body_of(form, filled.row)
    question = Question(JSON, msgspec.json.encode(body), Sample(body=body))
    return Trial(posted.texts, question=question, row=filled.row)


def query_of(signature: Signature) -> str:
    """Return the query that asks for what the page shows, "" for what the model answers by itself."""
    names = wanted(signature)
    # A name with a comma cannot be asked for so.
    if names == signature.computed or any("," in name for name in names):
        return ""
    return "?" + urllib.parse.urlencode({"outputs": ",".join(names)})


def _picture(posted: Posted) -> Question:
    if posted.file is None:
        raise InvalidInput("No picture was chosen.", hint="Choose a file.")
    return Question(posted.media_type or "application/octet-stream", posted.file)


def _written(text: str) -> Question:
    if not text.strip():
        raise InvalidInput("Nothing was written.", hint="The example shows how the model is asked.")
    sample = None
    if len(text) <= SAMPLE_LENGTH:
        try:
            sample = Sample(body=msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError):
            pass  # the model's process says what is wrong with it
    return Question(JSON, text.encode(), sample)


def _read(prediction: Prediction, signature: Signature) -> Answer:
    if len(prediction.body) > ANSWER_BYTES:
        size = len(prediction.body) >> 20
        return Answer(f"The answer has {size} MB. A program can ask for all of it.")
    return answer_of(msgspec.json.decode(prediction.body), signature)


def _several(errors: Mapping[str, str]) -> InvalidInput:
    count = len(errors)
    return InvalidInput("A value does not fit." if count == 1 else f"{count} values do not fit.")
