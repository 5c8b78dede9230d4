"""``application/json``, on its way in.

The body is ``{"input": ...}`` (or ``"instances"``, or ``"inputs"``), with ``"outputs"`` and
``"parameters"`` beside it if wanted, or the bare value. All three names take every form:
records, rows, columns, tensors by name, scalars. A key that occurs twice: the last wins.
"""

from __future__ import annotations

from typing import Any

import msgspec

from prism_core.fitting.counting import check_values
from prism_core.fitting.faults import did_you_mean, listed, quote
from prism_core.inputs import json_quick
from prism_core.inputs.json_forms import arrange
from prism_core.plugin import Batch, InvalidInput, Limits, MalformedBody, Request, Signature

VALUES = ("input", "inputs", "instances")
# `signature_name` and `id` are part of bodies that other servers take; they say nothing to us.
KNOWN = (*VALUES, "outputs", "parameters", "signature_name", "id")


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch that the JSON ``body`` means.

    Raises
    ------
    MalformedBody
        If it is not JSON.
    InvalidInput
        If it does not fit the signature.
    PayloadTooLarge
        If it holds more values, or pixels, than the server takes.
    """
    check_values(body, request.limits, escapes=True)
    batch = json_quick.read(body, signature)
    if batch is not None:
        return batch
    document = _decode(body, request.limits)
    request.limits.check_depth(document)
    value, outputs, parameters = unwrap(document)
    found = arrange(value, signature, request)
    return Batch(found.tensors, outputs, parameters)


def _decode(body: memoryview, limits: Limits) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError as error:  # untyped, only a number beyond all doubles
        raise InvalidInput(f"The body holds a number that no double can hold: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(
            f"The body is not JSON: {error}.",
            hint="NaN and Infinity are not JSON (send null), text must be UTF-8. Is the Content-Type right?",
        ) from None
    except RecursionError:
        raise limits.too_deep() from None


def unwrap(document: Any) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
    """Return the value, the asked-for outputs and the parameters of a decoded body.

    Raises
    ------
    InvalidInput
        If the body names no value, or several, or has keys that mean nothing.
    """
    if not isinstance(document, dict):
        return document, (), {}
    named = [key for key in VALUES if key in document]
    unknown = [key for key in document if key not in KNOWN]
    if unknown or len(named) != 1:
        raise _wrong_keys(named, unknown)
    return document[named[0]], _outputs(document.get("outputs")), _parameters(document.get("parameters"))


def _wrong_keys(named: list[str], unknown: list[str]) -> InvalidInput:
    hint = did_you_mean(unknown[0], KNOWN) if unknown else ""
    if named and unknown:
        return InvalidInput(
            f"The body has an unknown key {quote(unknown[0])}; known: {listed(KNOWN)}.", hint=hint
        )
    if named:
        return InvalidInput(f"The body holds {' and '.join(named)}.", hint="Send one of them.")
    return InvalidInput('The body has no "input".', hint=hint or 'Wrap the values: {"input": [...]}.')


def _outputs(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidInput(
            '"outputs" must be a list of names.', hint='For instance "outputs": ["probabilities"].'
        )
    return tuple(value)


def _parameters(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InvalidInput(
            '"parameters" must be an object.', hint='For instance "parameters": {"threshold": 0.3}.'
        )
    return value or {}
