"""What an answer was worth, as its label says: a number between 0 and 1.

Answers are read long after they were given, in a thread of the leading gateway, and only those in JSON or
tensors: of the others a caller tells the reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from prism_core.errors import InvalidInput
from prism_core.traffic.comparing.answers import Answer, columns
from prism_core.traffic.comparing.columns import Unreadable

# What is longer is no label, and would be compared for long.
MAX_TEXT = 1_000
# Where somebody sent one, another reward is the same: floats go through JSON and back.
SAME = 1e-9

_USE_REWARD = 'Send {"request_id": ..., "reward": 0.7}, or "correct": true.'


def same(one: float, other: float) -> bool:
    """Return whether two rewards say the same."""
    return abs(one - other) <= SAME


def predictions_of(media_type: str, answer: bytes, output: str = "") -> list[Any]:
    """Return the predictions of an answer, one a row.

    ``output`` is the name of the tensor that is the prediction, where the answer does not say that itself.

    Raises
    ------
    InvalidInput
        If there are none: it is another kind of answer, or was too long to be kept.
    """
    try:
        found = columns(Answer(media_type, answer)) if answer else None
    except Unreadable:
        found = None
    if found:
        only = next(iter(found.values())) if len(found) == 1 else None
        rows = found.get("predictions", found.get(output, only))
        if rows is not None:
            return rows
    raise InvalidInput("What was predicted is not remembered, only that it was.", hint=_USE_REWARD)


def reward_of(predictions: Sequence[Any], labels: Sequence[Any], tolerance: float = 0.0) -> float:
    """Return the mean reward of rows: 1 where a prediction is its label, 0 where it is not.

    With a ``tolerance`` numbers are worth something between: 1 less what they are off by, in tolerances.

    Raises
    ------
    InvalidInput
        If there is not one label for each row, or it is no label, or numbers need a tolerance.
    """
    if len(predictions) != len(labels) or not labels:
        asked, told = _count(len(predictions), "prediction"), _count(len(labels), "label")
        raise InvalidInput(
            f"The answer has {asked}, and {told} came.",
            hint='One label for one row; for several send "labels" with one for each, in their order.',
        )
    return math.fsum(map(_row(tolerance), predictions, labels)) / len(labels)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _row(tolerance: float) -> Callable[[Any, Any], float]:
    def reward(prediction: Any, label: Any) -> float:
        if isinstance(label, list):
            if not isinstance(prediction, list):
                raise InvalidInput("A label is a list, and its prediction is none.")
            return reward_of(prediction, label, tolerance)
        if isinstance(prediction, list) and len(prediction) == 1:
            prediction = prediction[0]
        _check(label)
        if tolerance:
            return _near(prediction, label, tolerance)
        _check_class(prediction, label)
        return float(_equal(prediction, label))

    return reward


def _check(label: Any) -> None:
    if label is None or isinstance(label, dict) or (isinstance(label, str) and len(label) > MAX_TEXT):
        raise InvalidInput(
            "A label is a number, true or false, or a text that is not longer than 1000 characters.",
            hint="Labels are what the model would have predicted, had it been right.",
        )


def _check_class(prediction: Any, label: Any) -> None:
    for value in (prediction, label):
        if isinstance(value, float) and not value.is_integer():
            raise InvalidInput(
                "Numbers with a fraction are hardly ever equal, so comparing them says nothing.",
                hint="Give the route feedback.tolerance, how far off is worth nothing; or send a reward.",
            )


def _near(prediction: Any, label: Any, tolerance: float) -> float:
    predicted, meant = _number(prediction), _number(label)
    if predicted is None or meant is None:
        return float(_equal(prediction, label))
    return max(0.0, 1.0 - abs(predicted - meant) / tolerance)


def _equal(prediction: Any, label: Any) -> bool:
    """Return whether two values are the same; a text that says a number, as in CSV, is that number."""
    if prediction == label:
        return True
    if isinstance(prediction, str) == isinstance(label, str):
        return False
    predicted, meant = _number(prediction), _number(label)
    return predicted is not None and predicted == meant


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
